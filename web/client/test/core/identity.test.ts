import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BellhopError, type Client } from "../../src/index.js";
import { Wire, answer, pass, refusal, token } from "../wire.js";

let client: Client;
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

test("who a client is, is what the server has accepted", async () => {
  const wire = new Wire();
  wire.refuses = true;
  client = wire.connect();
  await pass(1);
  expect(wire.tokens.length).toBeGreaterThan(0);
  expect(client.userId).toBeNull();
  wire.refuses = false;
  await pass(20);
  expect(client.userId).toBe("ana");
});

test("a page whose user changes goes on as the new one: on a new connection, with nothing of the old one's", async () => {
  const wire = new Wire();
  let user = "ana";
  client = wire.connect({ token: () => token(user, 600) });
  const room = client.join("community:1");
  await pass(1);
  await Promise.all([client.presence("busy"), pass(1)]);
  user = "bob";
  await pass(600 * 0.7);
  expect(client.userId).toBe("ana"); // as far as anybody knows
  const waiting = room.publish("message:new", { content: "by ana" }).then(() => "sent", (err) => err.code);
  await pass(600 * 0.15);
  expect(await waiting).toBe("sent");
  expect(client.userId).toBe("bob");
  expect(wire.tokens).toHaveLength(2);
  expect(wire.named("auth")).toEqual([]); // the server would not take it
  expect(wire.named("presence")).toHaveLength(1);
  expect(room.joined).toBe(true);
});

test("what one user has written and could not send is not sent by another", async () => {
  const wire = new Wire((frame) => (frame.action === "publish" ? null : answer(frame)));
  let user = "ana";
  client = wire.connect({ token: () => token(user) });
  const room = client.join("channel:1");
  await pass(1);
  const waiting = room.publish("message:new", { content: "by ana" }).then(() => "sent", (err) => [err.code, err.message]);
  user = "bob";
  wire.cut();
  await pass(2);
  expect(client.userId).toBe("bob");
  expect(await waiting).toEqual(["closed", "The token was ana's and is bob's now."]);
  expect(wire.named("publish")).toHaveLength(1);
});

test("a renewal that is not available is tried again until the token ends", async () => {
  let down = true;
  const wire = new Wire((frame) => (frame.action === "auth" && down ? refusal("unavailable") : answer(frame)));
  client = wire.connect({ token: () => token("ana", 600) });
  await pass(600 * 0.82);
  expect(wire.named("auth").length).toBeGreaterThan(2);
  down = false;
  await pass(30);
  const before = wire.named("auth").length;
  await pass(300); // the new token is half way
  expect(wire.named("auth")).toHaveLength(before);
  expect(wire.tokens).toHaveLength(1); // all on one connection
});

test("a renewal that is refused for good leads to a new connection", async () => {
  const wire = new Wire((frame) => (frame.action === "auth" ? refusal("forbidden") : answer(frame)));
  client = wire.connect({ token: () => token("ana", 600) });
  await pass(600 * 0.82);
  expect([wire.named("auth").length, wire.tokens.length]).toEqual([1, 2]);
  expect(client.status).toBe("open");
});

test.each([["two hours ahead", 7_200], ["59 minutes ahead", 3_540], ["a day behind", -86_400], ["right", 0]])(
  "a clock that is %s renews an hour's token about once an hour", async (_, skew) => {
    const signer = () => Math.floor(Date.now() / 1_000) - skew;
    const wire = new Wire();
    let asked = 0;
    client = wire.connect({ token: () => (asked++, token("ana", 3_600, signer())) });
    await pass(2 * 3_600);
    expect(asked).toBeGreaterThanOrEqual(2);
    expect(asked).toBeLessThanOrEqual(5); // one of them for the connection that takes the place of the first before two hours are over
  });

test("a token function that never settles is given up, and asked again", async () => {
  const wire = new Wire();
  let asked = 0;
  client = wire.connect({ token: () => (++asked === 1 ? new Promise<string>(() => {}) : token("ana")) });
  const errors: string[] = [];
  client.on("error", ({ code, message }) => errors.push(`${code}: ${message}`));
  await pass(14);
  expect(client.status).toBe("connecting");
  await pass(3);
  expect(errors).toEqual(["token: The token function has not answered for 15 s."]);
  expect(client.status).toBe("open");
});

test("reconnect does not wait for a token function that hangs", async () => {
  const wire = new Wire();
  let asked = 0;
  client = wire.connect({ token: () => (++asked === 1 ? new Promise<string>(() => {}) : token("ana")) });
  client.reconnect(); // it has only just been asked
  await pass(1);
  expect(asked).toBe(1);
  await pass(3);
  client.reconnect();
  await pass(0.1);
  expect(client.status).toBe("open");
});

test("a token that comes when it is too late is not used", async () => {
  const wire = new Wire();
  const late: ((token: string) => void)[] = [];
  client = wire.connect({ token: () => (late.length === 0 ? new Promise<string>((give) => late.push(give)) : token("bob")) });
  await pass(5);
  wire.handshake = 1_000;
  client.reconnect();
  await pass(0.1);
  late[0]!(token("ana"));
  await pass(2);
  expect(client.userId).toBe("bob");
  expect(wire.tokens).toHaveLength(1);
});

test("a token function that throws at the renewal is asked again, and one that says it is over ends the client", async () => {
  const wire = new Wire();
  let out: Error | null = null;
  client = wire.connect({
    token: () => {
      if (out) throw out;
      return token("ana", 600);
    },
  });
  await pass(1);
  out = new Error("no session");
  await pass(600 * 0.8);
  expect(client.status).toBe("open");
  out = new BellhopError("unauthenticated", "Logged out.");
  await pass(60);
  expect(client.status).toBe("closed");
  expect(client.error).toMatchObject({ code: "unauthenticated", message: "Logged out." });
});
