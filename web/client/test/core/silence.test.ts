import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import type { Client, Status } from "../../src/index.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";
import { Proxy } from "../../../testing/proxy.mjs";

// A path that drops bytes and says nothing: a NAT that has forgotten, a proxy that hangs, a phone between two cells.
let bellhop: Bellhop;
let proxy: Proxy;
let token: string; // the server's clock is real, whatever the client's is
const clients: Client[] = [];
beforeAll(async () => {
  bellhop = await startBellhop();
  token = bellhop.token("ana");
});
beforeEach(async () => void (proxy = await Proxy.to(bellhop.http)));
afterEach(async () => {
  vi.useRealTimers();
  for (const client of clients.splice(0)) client.close();
  await proxy.end();
});
afterAll(() => bellhop.end());

function connect(options: Parameters<Bellhop["connect"]>[1] = {}): Client {
  const client = bellhop.connect("ana", { url: proxy.ws, token: () => token, ...options });
  clients.push(client);
  return client;
}

/** Lets time pass, with whatever the network does meanwhile, and says how many seconds it took. */
async function pass(until: () => boolean, most: number): Promise<number> {
  let seconds = 0;
  for (; !until() && seconds < most; seconds++) {
    await vi.advanceTimersByTimeAsync(1_000);
    await bellhop.connections(); // the network is real: it has had the time for an answer
  }
  return seconds;
}

const fakeTime = () => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });

test("what is sent into a silence is sent again over a new connection, within 20 s and once", { timeout: 40_000 }, async () => {
  const ana = connect();
  const [room, bob] = [ana.join("channel:silent"), bellhop.connect("bob")];
  clients.push(bob);
  const heard: unknown[] = [];
  const theirs = bob.join("channel:silent");
  theirs.on("message:new", ({ id, data }) => heard.push([id, data.content]));
  await until(() => theirs.joined);
  await room.publish("message:new", { content: "one" });
  await until(() => heard.length === 1);
  proxy.silence();
  const began = Date.now();
  const { id } = await room.publish("message:new", { content: "two" }, { id: "m2" });
  expect(Date.now() - began).toBeLessThan(20_000);
  expect(proxy.count).toBe(2);
  expect(ana.status).toBe("open");
  await room.publish("message:new", { content: "three" });
  await until(() => heard.length === 3);
  expect(heard.slice(1, 2)).toEqual([[id, "two"]]);
});

test("a silence while nothing is done is found within 45 s, and says how it was found", async () => {
  fakeTime();
  const ana = connect();
  const statuses: Status[] = [];
  const room = ana.join("channel:idle");
  await until(() => room.joined);
  ana.on("status", (status) => statuses.push(status));
  proxy.silence();
  proxy.silent = true; // the new connection finds no way either
  expect(await pass(() => statuses.length > 0, 120)).toBeLessThanOrEqual(45);
  expect(statuses).toEqual(["connecting"]);
  expect(ana.error).toMatchObject({ code: "disconnected", message: expect.stringMatching(/Nothing was heard for 4\d s/) });
});

test.skipIf(process.env.OVER)("a browser, which has no pings that cost nothing, finds it within 45 s too", async () => {
  class Browsers extends WebSocket {
    override ping = undefined as never;
  }
  fakeTime();
  const ana = connect({ WebSocket: Browsers });
  const room = ana.join("channel:idle");
  await until(() => room.joined);
  proxy.silence();
  expect(await pass(() => ana.status !== "open", 120)).toBeLessThanOrEqual(45);
  await vi.advanceTimersByTimeAsync(1_000); // the longest pause before the next attempt
  await until(() => room.joined);
});

test("a handshake that nobody answers is given up, and another one tried", async () => {
  fakeTime();
  proxy.silent = true;
  const ana = connect();
  const errors: string[] = [];
  ana.on("error", ({ message }) => errors.push(message));
  await until(() => proxy.count > 0);
  proxy.silent = false;
  expect(await pass(() => errors.length > 0, 60)).toBeLessThanOrEqual(20);
  await vi.advanceTimersByTimeAsync(2_000); // the longest pauses before the next two attempts
  await until(() => ana.status === "open");
});
