import { readToken } from "./token.js";

/**
 * What to look at when a handshake was refused. Browsers tell a page nothing of why, Node's `ws` the status; what can be seen
 * here is whether the token is one, and whether it has ended.
 *
 * @param detail what the WebSocket says, if it says anything
 */
export function whyRefused(url: string, token: string, detail: string | undefined, now: number): string {
  const { expires, userId } = readToken(token);
  const said = detail ? `: ${detail}` : "";
  const unreachable = detail !== undefined && /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH/.test(detail);
  return `No connection to ${url}${said}. ${
    unreachable ? "Nobody answers there: is the host right, and does the server run?"
    : userId === null ? "The token is no JWT with a sub: does the token function give its text alone, and no JSON or page around it?"
    : expires !== null && expires < now ? `The token ended ${Math.round((now - expires) / 1000)} s ago by this device's clock: does the token function give a new one each time?`
    : "If the server runs, look at the host and the stage of the URL, at the secret or keys, the issuer and the audience of the token, and at AllowedOrigins."
  }`;
}
