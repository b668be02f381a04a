import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { connect } from "../../src/index.js";
import { signToken, type TokenClaims } from "../../src/server/index.js";
import { SECRET } from "../../../testing/bellhop.mjs";
import { startBellhop, until } from "../emulator.js";

const secret = "a secret of these tests, of 32 bytes or more";
const cases = JSON.parse(readFileSync(join(import.meta.dirname, "../../../../internal/token/testdata/sign.json"), "utf8")) as
  { name: string; secret?: string; claims: TokenClaims; refused?: string }[];

describe("a token is refused where the server would refuse it, as in Go", () => {
  test.each(cases)("$name", async ({ secret: other, claims, refused }) => {
    const made = signToken(other ?? secret, claims);
    if (refused) return expect(made).rejects.toThrow(new RegExp(refused.replaceAll("*", "\\*"), "i"));
    const [head, body, signature] = (await made).split(".") as [string, string, string];
    expect(signature).toBe(createHmac("sha256", secret).update(`${head}.${body}`).digest("base64url"));
    const { sub, name, grants, iss, aud, exp, iat } = JSON.parse(Buffer.from(body, "base64url").toString());
    expect({ user: sub, name, grants, issuer: iss, audience: aud }).toEqual({ name: undefined, grants: undefined, issuer: undefined, audience: undefined, ...claims });
    expect(exp - iat).toBe(3600);
  });
});

test("a client connects with one", async () => {
  const bellhop = await startBellhop("--memory");
  try {
    const client = connect(bellhop.ws, { token: () => signToken(SECRET, { user: "ana", grants: { "channel:*": ["join"] }, expiresIn: 60 }), WebSocket });
    const room = client.join("channel:1");
    await until(() => room.joined);
    expect(client.userId).toBe("ana");
    client.close();
  } finally {
    await bellhop.end();
  }
});

export function mistakes(): Promise<string>[] {
  return [
    // @ts-expect-error there is no such right
    signToken(secret, { user: "ana", grants: { "channel:*": ["read"] } }),
    // @ts-expect-error somebody must be named
    signToken(secret, { name: "Ana" }),
  ];
}
