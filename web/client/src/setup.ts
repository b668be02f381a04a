import { readToken } from "./token.js";

const HOST = "nobody answers: is the host right, does the server run?";
const STAGE = "the URL ends in no stage, or AllowedOrigins has not this origin.";
const TOKEN = "the token is refused: has it the server's secret or keys, issuer and audience?";

/**
 * What is wrong when a handshake was refused, and what to do. Browsers tell a page nothing of why, Node's `ws` the status; what can be
 * seen here is whether the token is one, and whether it has ended.
 *
 * @param detail what the WebSocket says, if it says anything
 */
export function whyRefused(url: string, token: string, detail = "", now: number): string {
  const { expires, userId } = readToken(token);
  const why =
    / E(CONNREF|NOTFOUND|AI_|TIMEDOUT|HOST)/.test(detail) ? HOST
    : userId === null ? "the token is no JWT with a sub: is it given as text, with no JSON around it?"
    : expires !== null && expires < now ? `the token ended ${Math.round((now - expires) / 1000)} s ago by this device's clock: is it a new one each time?`
    : / 401/.test(detail) ? TOKEN
    : / 403/.test(detail) ? STAGE
    : `the browser's own line in the console says which. ERR_: ${HOST} 403: ${STAGE} 401, or failed authentication: ${TOKEN}`;
  return `No connection to ${url}${detail ? ` (${detail})` : ""}: ${why}`;
}
