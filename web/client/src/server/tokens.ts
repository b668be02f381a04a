/** What a token says of a user. */
export interface TokenClaims {
  /** The user's id: 1 to 123 bytes, no spaces, '#' or '*'. */
  user: string;
  /** What others see. */
  name?: string;
  /**
   * What the token allows, by room name, or by the beginning of one and a `*`: `{ "channel:*": ["join", "publish"] }`. Without it the
   * parameter DefaultGrants applies; `{}` is nothing but the user's own room.
   */
  grants?: Readonly<Record<string, readonly Grant[]>>;
  /** Seconds until it expires. 3,600. */
  expiresIn?: number;
  /** The claims `iss` and `aud`, where JwtIssuer and JwtAudience ask for them. */
  issuer?: string;
  audience?: string;
}

/** "join" enters, reads and is seen; "publish" speaks and types; "signal" types only; "moderate" deletes what others said. */
export type Grant = "join" | "publish" | "signal" | "moderate";

const GRANTS: readonly string[] = ["join", "publish", "signal", "moderate"] satisfies Grant[];
const MIN_SECRET = 32; // bytes: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
const MAX_USER = 123; // bytes, so that "user:<id>" is a room name
const JOINABLE = String.raw`(?![\u0000-\u00ff]|\p{Script=Latin})[\p{L}\p{M}\p{So}\p{Sk}]`;
/** What may stand in a user id, as internal/protocol has it: what is seen, and joiners between characters that need them. */
const VISIBLE = new RegExp(String.raw`^(?:(?![#*])[\p{L}\p{M}\p{N}\p{P}\p{S}]|(?<=${JOINABLE})[\u200c\u200d](?=${JOINABLE}))+$`, "u");
const text = new TextEncoder();

/**
 * Makes the token that a client connects with: an HS256 JWT under the secret of JwtSecretArn, or that of `bellhop dev`. It refuses
 * what the server would never accept. It needs nothing but Web Crypto, and so runs in edge runtimes too.
 *
 * @throws Error a secret of less than 32 bytes, a malformed user id, malformed grants
 */
export async function signToken(secret: string | Uint8Array<ArrayBuffer>, claims: TokenClaims): Promise<string> {
  const { user, name, grants, expiresIn = 3_600, issuer, audience } = claims;
  const key = typeof secret === "string" ? text.encode(secret) : secret;
  if (!key || key.length < MIN_SECRET) {
    throw new Error(`The secret has ${key?.length ?? 0} bytes, HS256 needs at least ${MIN_SECRET}: make one with openssl rand -base64 48`);
  }
  if (typeof user !== "string" || text.encode(user).length > MAX_USER || !VISIBLE.test(user)) {
    throw new Error(`A user id must have 1 to ${MAX_USER} bytes, no spaces, '#' or '*'`);
  }
  if (!Number.isFinite(expiresIn)) throw new Error("expiresIn must be a number of seconds");
  if (grants !== undefined) checkGrants(grants);
  const now = Math.floor(Date.now() / 1000);
  const body = {
    sub: user, iat: now, exp: now + Math.floor(expiresIn),
    ...(name && { name }), ...(issuer && { iss: issuer }), ...(audience && { aud: audience }), ...(grants && { grants }),
  };
  const signed = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(body)}`;
  const hmac = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return `${signed}.${base64url(new Uint8Array(await crypto.subtle.sign("HMAC", hmac, text.encode(signed))))}`;
}

function checkGrants(grants: Readonly<Record<string, readonly string[]>>): void {
  if (typeof grants !== "object" || grants === null || Array.isArray(grants)) {
    throw new Error('grants must be an object such as {"channel:*":["join","publish"]}');
  }
  for (const [pattern, may] of Object.entries(grants)) {
    if (pattern.replace(/\*$/, "").includes("*")) throw new Error(`grants: "${pattern}": a '*' may only stand at the end`);
    if (!Array.isArray(may)) throw new Error(`grants: "${pattern}" must have a list, such as ["join","publish"]`);
    const unknown = may.find((what) => !GRANTS.includes(what as string));
    if (unknown !== undefined) throw new Error(`grants: "${pattern}" allows "${String(unknown)}", which is none of ${GRANTS.join(", ")}`);
  }
}

const encode = (value: object): string => base64url(text.encode(JSON.stringify(value)));

function base64url(bytes: Uint8Array): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
