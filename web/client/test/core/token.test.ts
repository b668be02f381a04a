import { expect, test } from "vitest";
import { readToken, renewIn } from "../../src/token.js";

const claims = (issued: number | null, expires: number | null) => ({ userId: "ana", issued, expires });
const now = 1_700_000_000_000;

test("tokens are read, also those of other alphabets, and what is none harms nobody", () => {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  expect(readToken(`x.${encode({ sub: "анна-ü?>", iat: 1_600_000_000, exp: 1_700_000_000 })}.y`)).toEqual({
    userId: "анна-ü?>", issued: 1_600_000_000_000, expires: 1_700_000_000_000,
  });
  const nothing = { userId: null, issued: null, expires: null };
  for (const bad of ["", "a.b.c", `x.${encode({ sub: 1, exp: "soon" })}.y`]) expect(readToken(bad)).toEqual(nothing);
});

test("a token is renewed in time, however long it lives", () => {
  for (const life of [1_000, 30_000, 90_000, 3_600_000]) {
    const wait = renewIn(claims(now, now + life), now)!;
    expect(wait).toBeGreaterThanOrEqual(life * 0.6);
    expect(wait).toBeLessThanOrEqual(life > 60_000 ? life - 30_000 : life * 0.8);
  }
});

test("a clock that is ahead of the end of a token that was just accepted is not believed", () => {
  const wait = renewIn(claims(now, now + 3_600_000), now + 7_200_000)!;
  expect(wait).toBeGreaterThan(40 * 60_000);
  expect(renewIn(claims(null, now + 3_600_000), now + 7_200_000)).toBeNull(); // the server will say
  expect(renewIn(claims(null, null), now)).toBeNull();
});

test("a clock that is almost there makes no hurry, and one that is behind gives no more than a life", () => {
  expect(renewIn(claims(now, now + 3_600_000), now + 3_595_000)).toBe(30_000);
  expect(renewIn(claims(null, now + 3_600_000), now + 3_595_000)).toBe(30_000);
  expect(renewIn(claims(now, now + 3_600_000), now - 86_400_000)!).toBeLessThanOrEqual(3_600_000 * 0.8);
});
