import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Client } from "../../src/index.js";
import { Wire, answer, joined, ok, pass, refusal, type Sent } from "../wire.js";

let client: Client;
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  client.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

/** Allows so many a second and so many at once, as the server counts them, and answers the rest as `answers` does. */
function limited(rate: number, burst: number, answers = answer) {
  let [tokens, at] = [burst, Date.now()];
  return (frame: Sent) => {
    if (frame.action === "ping") return answers(frame);
    tokens = Math.min(burst, tokens + ((Date.now() - at) * rate) / 1_000);
    at = Date.now();
    if (tokens < 1) return refusal("rate_limited", { retryAfterMs: Math.ceil(((1 - tokens) * 1_000) / rate) });
    tokens--;
    return answers(frame);
  };
}

const names = (count: number) => Array.from({ length: count }, (_, n) => `channel:${n}`);
const refused = (wire: Wire, needed: number) => wire.sent.filter(({ action }) => action !== "ping").length - needed;

/** The same, anew for each connection, as the server counts. */
function limitedEach(rate: number, burst: number, answers = answer) {
  const counts = new Map<number, ReturnType<typeof limited>>();
  let connection = 0;
  const wire = new Wire((frame) => {
    const count = counts.get(connection) ?? limited(rate, burst, answers);
    counts.set(connection, count);
    return count(frame);
  });
  return { wire, cut: () => (connection++, wire.cut()) };
}

test("90 rooms are joined again after a cut within 9 s, by less than twice as many frames", async () => {
  const { wire, cut } = limitedEach(10, 20);
  client = wire.connect();
  const rooms = names(90).map((name) => client.join(name));
  await pass(10);
  expect(rooms.every(({ joined }) => joined)).toBe(true);
  const before = wire.sent.length;
  cut();
  await pass(1); // the longest pause
  await pass(9);
  expect(rooms.every(({ joined }) => joined)).toBe(true);
  expect(wire.sent.length - before).toBeLessThanOrEqual(110);
});

test("a server that takes many rooms at once gets two frames for 90 rooms", async () => {
  const { wire, cut } = limitedEach(10, 20, (frame) => (frame.rooms ? ok({ rooms: frame.rooms.map(({ room }) => joined(room)) }) : answer(frame)));
  client = wire.connect();
  const rooms = names(90).map((name) => client.join(name));
  await pass(0.2);
  expect(rooms.every(({ joined }) => joined)).toBe(true);
  expect(wire.sent.map(({ rooms }) => rooms?.length)).toEqual([50, 40]);
  cut();
  await pass(1.2);
  expect(rooms.every(({ joined }) => joined)).toBe(true);
  expect(wire.sent).toHaveLength(4);
  expect(wire.sent[2]!.rooms![0]).toEqual({ room: "channel:0", since: { epoch: "e", seq: 0 } });
});

test("what an answer for many rooms has no place for is asked for again, and what it refuses is that room's alone", async () => {
  const wire = new Wire((frame) => {
    if (!frame.rooms) return answer(frame);
    const rooms = frame.rooms.slice(0, 2).map(({ room }) => (room === "channel:1" ? { room, error: refusal("forbidden").error } : joined(room)));
    return ok({ rooms, more: true });
  });
  client = wire.connect();
  const rooms = names(5).map((name) => client.join(name));
  await pass(1);
  expect(rooms.map(({ joined, error }) => joined || error?.code)).toEqual([true, "forbidden", true, true, true]);
});

test("a server that does not know joins of many is asked once, and then room by room", async () => {
  const wire = new Wire();
  client = wire.connect();
  const rooms = names(5).map((name) => client.join(name));
  await pass(1);
  wire.cut();
  await pass(2);
  expect(rooms.every(({ joined }) => joined)).toBe(true);
  expect(wire.sent.filter(({ rooms }) => rooms)).toHaveLength(1);
  expect(wire.sent).toHaveLength(11);
});

test("a room that something waits for is joined before others", async () => {
  const { wire } = limitedEach(10, 20);
  client = wire.connect();
  const rooms = names(90).map((name) => client.join(name));
  let answered = false;
  void rooms[89]!.publish("message:new", { content: "hi" }).then(() => (answered = true));
  await pass(0.5);
  expect(answered).toBe(true);
});

test("60 publishes in 60 rooms take little more than 60 frames", async () => {
  const { wire } = limitedEach(10, 20);
  client = wire.connect();
  const rooms = names(60).map((name) => client.join(name));
  await pass(20);
  const before = wire.sent.length;
  const done = Promise.all(rooms.map((room) => room.publish("message:new", { content: "hi" })));
  await pass(6);
  await done;
  expect(wire.sent.length - before).toBeLessThanOrEqual(66);
});

test.each([[100, 200], [20, 5], [2, 2]])("a limit of %i a second and %i at once is found out, upwards and downwards", async (rate, burst) => {
  const wire = new Wire(limited(rate, burst));
  client = wire.connect({ publishTimeout: 600_000 });
  const room = client.join("channel:1");
  await pass(1);
  const count = 300;
  const done = Promise.all(Array.from({ length: count }, () => client.call("app:count", { id: crypto.randomUUID() })));
  await pass(2 * Math.max(count / rate, 6));
  await done;
  expect(room.joined).toBe(true);
  expect(refused(wire, count + 1)).toBeLessThan(60);
});

test("publishes and joins do not hold each other up", async () => {
  const { wire } = limitedEach(10, 20);
  client = wire.connect();
  const talking = client.join("channel:talking");
  await pass(1);
  const late = () => {}; // when the client is closed
  for (let n = 0; n < 100; n++) talking.publish("message:new", { content: `${n}` }).catch(late);
  const rooms = names(20).map((name) => client.join(name));
  await pass(5);
  expect(rooms.every(({ joined }) => joined)).toBe(true);
  expect(wire.named("publish").length).toBeGreaterThan(10);
});

test("a call that was too much for the server was not done, and is sent again, also one without an id", async () => {
  let refusals = 3;
  const wire = new Wire((frame) => (frame.action === "app:once" && refusals-- > 0 ? refusal("rate_limited", { retryAfterMs: 300 }) : answer(frame)));
  client = wire.connect();
  await pass(0.1);
  const done = client.call("app:once", { room: "channel:1" });
  await pass(5);
  expect(await done).toMatchObject({ room: "channel:1" });
  const times = wire.sent.map(({ at }) => at);
  expect(times).toHaveLength(4);
  for (let n = 1; n < 4; n++) expect(times[n]! - times[n - 1]!).toBeGreaterThanOrEqual(300);
});

test("what is left before its turn is not joined", async () => {
  const { wire } = limitedEach(10, 20);
  client = wire.connect();
  const rooms = names(90).map((name) => client.join(name));
  await pass(0.1);
  for (const room of rooms) room.leave();
  await pass(20);
  expect(wire.named("join").length).toBeLessThan(25);
  expect(wire.named("leave").length).toBeLessThan(25);
});
