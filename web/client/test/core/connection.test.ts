import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { BellhopError, type Client, type ClientEvents, type Status } from "../../src/index.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";

let bellhop: Bellhop;
const clients: Client[] = [];
const client = (...args: Parameters<Bellhop["connect"]>) => {
  const one = bellhop.connect(...args);
  clients.push(one);
  return one;
};
beforeAll(async () => void (bellhop = await startBellhop("--parameter", "PresenceGrace=1s")));
afterEach(() => clients.splice(0).forEach((one) => one.close()));
afterAll(() => bellhop.end());

test("a client connects, says who it is, and ends", async () => {
  const ana = client("ana");
  const seen: Status[] = [];
  ana.on("status", (status) => seen.push(status));
  expect(ana.status).toBe("connecting");
  await until(() => ana.status === "open");
  expect(ana.userId).toBe("ana");
  expect(ana.error).toBeNull();
  await until(async () => (await bellhop.connections("ana")).length === 1);
  ana.close();
  ana.close();
  await until(async () => (await bellhop.connections("ana")).length === 0);
  expect(seen).toEqual(["open", "closed"]);
});

test("what waits when a client is closed fails, and so does what is asked of it after", async () => {
  const ana = client("ana", { token: () => new Promise<string>(() => {}) });
  const room = ana.join("channel:1");
  const waiting = [room.publish("message:new", { content: "hi" }), room.history(), ana.presence("away"), ana.readNotification("n")];
  ana.close();
  waiting.push(room.publish("message:new", { content: "later" }), room.history(), ana.presence("away"));
  for (const one of await Promise.allSettled(waiting)) expect(one).toMatchObject({ status: "rejected", reason: { code: "closed" } });
});

test("a token function that fails is asked again, and one that says it is final ends the client", async () => {
  let asked = 0;
  const errors: ClientEvents["error"][] = [];
  const ana = client("ana", {
    token: () => {
      if (++asked < 3) throw new Error("no session yet");
      return bellhop.token("ana");
    },
  });
  ana.on("error", (err) => errors.push(err));
  await until(() => ana.status === "open");
  expect(errors.map(({ code }) => code)).toEqual(["token", "token"]);
  expect(errors[0]!.message).toContain("no session yet");

  const out = client("bob", {
    token: () => {
      throw new BellhopError("unauthenticated", "Logged out.");
    },
  });
  await until(() => out.status === "closed");
  expect(out.error).toMatchObject({ code: "unauthenticated", message: "Logged out." });
});

test("a refused handshake is tried again with another token", async () => {
  let asked = 0;
  const ana = client("ana", { token: () => (++asked < 3 ? "not.a.token" : bellhop.token("ana")) });
  await until(() => ana.status === "open");
  expect(asked).toBe(3);
});

test("a token is renewed before it expires, over the same connection", async () => {
  let asked = 0;
  const ana = client("ana", {
    token: () => {
      asked++;
      return bellhop.token("ana", { ttl: 4 });
    },
  });
  await until(() => ana.status === "open");
  const { id } = await until(async () => (await bellhop.connections("ana"))[0]);
  await until(() => asked >= 3, "third token", 15_000);
  const room = ana.join("channel:renewal");
  await room.publish("message:new", { content: "still here" });
  expect((await bellhop.connections("ana")).map((one) => one.id)).toEqual([id]);
});

test("an expired token leads to a new connection, and what was asked is done there", async () => {
  const lives = [3, 3600]; // the first cannot be renewed in time, since the next one is only given when it is over
  let began = 0;
  const ana = client("ana", {
    token: async () => {
      if (began === 0) began = Date.now();
      else await until(() => Date.now() - began > 4_000);
      return bellhop.token("ana", { ttl: lives.shift() ?? 3600 });
    },
  });
  const room = ana.join("channel:expiry");
  await until(() => room.joined);
  await until(() => Date.now() - began > 3_500);
  await expect(room.publish("message:new", { content: "after the end" })).resolves.toMatchObject({ room: "channel:expiry" });
});

test("whoever is disconnected is told why, and comes back", async () => {
  const ana = client("ana");
  const told: string[] = [];
  ana.on("session:ending", ({ reason }) => told.push(reason));
  const room = ana.join("channel:kick");
  await until(() => room.joined);
  await bellhop.emit({ command: "disconnect", user: "ana", reason: "moved" });
  await until(() => told.length === 1 && !room.joined);
  expect(told).toEqual(["moved"]);
  await until(() => room.joined);
});

test("an event to the connection alone is the client's", async () => {
  const alone = client("alone");
  const { id } = await until(async () => (await bellhop.connections("alone"))[0]);
  const heard: unknown[] = [];
  alone.on("event", (event) => heard.push(event));
  await bellhop.emit({ command: "publish", connections: [id], event: "app:hint", data: { n: 1 } });
  await until(() => heard.length === 1);
  expect(heard[0]).toMatchObject({ event: "app:hint", data: { n: 1 } });
});

test.skipIf(process.env.OVER)("without a WebSocket it says what to do", () => {
  expect(() => client("ana", { WebSocket: undefined as unknown })).toThrow(/npm install ws/);
});
