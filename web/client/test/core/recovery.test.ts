import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Client, Joined, Room } from "../../src/index.js";
import { Wire, answer, event, joined, ok, pass } from "../wire.js";

let client: Client;
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

function listen(room: Room): number[] {
  const heard: number[] = [];
  room.onAny(({ seq }) => heard.push(seq!));
  return heard;
}

test("a gap that does not close by itself is asked for, with pauses that grow", async () => {
  let written = false; // the event that is missing
  const wire = new Wire((frame) => {
    if (frame.action !== "join" || !frame.since) return answer(frame);
    return written ? ok(joined("channel:1", { seq: 3, recovered: true, events: [event(2), event(3)] })) : ok(joined("channel:1", { seq: 1, recovered: true }));
  });
  client = wire.connect();
  const heard = listen(client.join("channel:1"));
  await pass(1);
  wire.push(event(1));
  wire.push(event(3));
  await pass(3);
  const asked = wire.named("join").slice(1);
  expect(asked.length).toBeGreaterThan(1);
  expect(asked.length).toBeLessThan(6);
  expect(asked[0]).toMatchObject({ since: { epoch: "e", seq: 1 } });
  expect(heard).toEqual([1]);
  written = true;
  await pass(5);
  expect(heard).toEqual([1, 2, 3]);
  const before = wire.sent.length;
  await pass(30);
  expect(wire.sent).toHaveLength(before); // nothing more to ask
});

test("events that overtake each other make no frames", async () => {
  const wire = new Wire();
  client = wire.connect();
  const heard = listen(client.join("channel:1"));
  await pass(1);
  wire.push(event(2));
  await pass(0.1);
  wire.push(event(1));
  await pass(30);
  expect(heard).toEqual([1, 2]);
  expect(wire.named("join")).toHaveLength(1);
});

test("an event that is for others leaves no gap, and nobody hears of it", async () => {
  const wire = new Wire();
  client = wire.connect();
  const heard = listen(client.join("channel:1"));
  await pass(1);
  wire.push({ event: "room:skipped", room: "channel:1", seq: 1, ts: 1 });
  wire.push(event(2));
  await pass(30);
  expect(heard).toEqual([2]);
  expect(wire.named("join")).toHaveLength(1);
});

test("of thousands that come before the one that is missing none is lost, though not all of them are held", async () => {
  const head = 2_000;
  const wire = new Wire((frame) => {
    const since = (frame.since as { seq: number } | undefined)?.seq;
    if (frame.action !== "join" || since === undefined) return answer(frame);
    const events = Array.from({ length: Math.min(400, head - since) }, (_, n) => event(since + 1 + n));
    return ok(joined("channel:1", { seq: events.at(-1)?.seq ?? head, recovered: true, events, more: (events.at(-1)?.seq ?? head) < head }));
  });
  client = wire.connect();
  const heard = listen(client.join("channel:1"));
  await pass(1);
  for (let seq = 2; seq <= head; seq++) wire.push(event(seq));
  wire.push(event(1));
  await pass(10);
  expect(heard).toEqual(Array.from({ length: head }, (_, n) => n + 1));
});

test("what was held for a gap is not handed on by the next connection, whose log may be another", async () => {
  let epoch = "old";
  const wire = new Wire((frame) => (frame.action === "join" ? ok(joined("channel:1", { epoch, seq: epoch === "old" ? 0 : 4 })) : answer(frame)));
  client = wire.connect();
  const room = client.join("channel:1");
  const contents: unknown[] = [];
  room.on("message:new", ({ data }) => contents.push(data.content));
  await pass(1);
  wire.push({ ...event(5), data: { content: "of the old log" } });
  epoch = "new";
  wire.cut();
  await pass(2);
  wire.push({ ...event(6), data: { content: "6" } });
  wire.push({ ...event(5), data: { content: "5" } });
  await pass(1);
  expect(contents).toEqual(["5", "6"]);
});

test("an answer that is older than what has come since does not bring anything back", async () => {
  const wire = new Wire((frame) => (frame.action === "join" && frame.since ? null : answer(frame)));
  client = wire.connect();
  const heard = listen(client.join("channel:1"));
  await pass(1);
  wire.push(event(2)); // a gap
  await pass(1);
  const [, fill] = wire.named("join");
  wire.push({ batch: [event(1), event(3)] }); // it closes by itself
  wire.push({ reply: fill!.id, ...ok(joined("channel:1", { seq: 1, recovered: true, events: [event(1)] })) });
  await pass(0);
  wire.push({ batch: [event(2), event(3), event(4)] });
  await pass(1);
  expect(heard).toEqual([1, 2, 3, 4]);
});

test("a join that is not answered, though the server lives, is given up with its connection", async () => {
  let deaf = true;
  const wire = new Wire((frame) => (frame.action === "join" && deaf ? null : answer(frame)));
  client = wire.connect();
  const room = client.join("channel:1");
  await pass(9.5);
  expect(wire.tokens).toHaveLength(1);
  deaf = false;
  await pass(3);
  expect(wire.tokens).toHaveLength(2); // on the old one it might still be done, after a leave
  expect(room.joined).toBe(true);
});

test("pauses between attempts grow, and begin anew once the server has answered", async () => {
  const wire = new Wire();
  wire.refuses = true;
  vi.spyOn(Math, "random").mockReturnValue(1);
  client = wire.connect();
  client.join("channel:1");
  await pass(120);
  expect(wire.tokens.length).toBeLessThan(12); // 1, 2, 4, 8, 16, 20, 20 … seconds
  wire.refuses = false;
  await pass(20);
  expect(client.status).toBe("open");
  const before = wire.tokens.length;
  wire.cut();
  await pass(1.1);
  expect(wire.tokens).toHaveLength(before + 1);
  vi.mocked(Math.random).mockRestore();
});

test("pauses do not begin anew for a server that accepts connections and says nothing", async () => {
  const wire = new Wire(() => null);
  vi.spyOn(Math, "random").mockReturnValue(1);
  client = wire.connect();
  client.join("channel:1");
  for (let n = 0; n < 60; n++) {
    await pass(1);
    if (client.status === "open") wire.cut();
  }
  expect(wire.tokens.length).toBeLessThan(8);
  vi.mocked(Math.random).mockRestore();
});

test("what was missed is counted over all pages, also when one of them has to be asked for again", async () => {
  let asked = 0;
  const wire = new Wire((frame) => {
    if (frame.action !== "join" || !frame.since) return answer(frame);
    const { seq } = frame.since as { seq: number };
    if (++asked === 2) return { ok: false, error: { code: "unavailable", message: "Later.", retry: true } };
    return ok(joined("channel:1", { seq: seq + 1, recovered: true, events: [event(seq + 1)], more: seq < 2 }));
  });
  client = wire.connect();
  const room = client.join("channel:1");
  const [heard, joins] = [listen(room), [] as Joined[]];
  room.onJoined((one) => joins.push(one));
  await pass(1);
  wire.cut();
  await pass(10);
  expect(heard).toEqual([1, 2, 3]);
  expect(joins.at(-1)).toMatchObject({ recovered: true, missed: 3 });
});

test("the browser's word that it is offline shows at once, and its word that it is not ends the pause", async () => {
  const page = new EventTarget();
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
  const wire = new Wire();
  client = wire.connect();
  await pass(1);
  const statuses: string[] = [];
  client.on("status", (status) => statuses.push(status));
  wire.refuses = true;
  page.dispatchEvent(new Event("offline"));
  expect(statuses).toEqual(["connecting"]);
  expect(client.error).toMatchObject({ code: "disconnected", message: "This device is offline." });
  await pass(60);
  wire.refuses = false;
  page.dispatchEvent(new Event("online"));
  await pass(0.1);
  expect(statuses).toEqual(["connecting", "open"]);
  vi.unstubAllGlobals();
});

test("before the gateway cuts a connection another one takes its place, by which all rooms are joined before the old one ends", async () => {
  const missed = ok(joined("channel:1", { seq: 3, recovered: true, events: [event(2), event(3)] }));
  const wire = new Wire((frame) => (frame.action === "join" && frame.since ? missed : answer(frame)));
  client = wire.connect();
  const statuses: string[] = [];
  const room = client.join("channel:1");
  const heard = listen(room);
  await pass(1);
  client.on("status", (status) => statuses.push(status));
  wire.push(event(1));
  await pass(109 * 60);
  expect(wire.open).toEqual([1]);
  let seconds = 0;
  for (; wire.open.length < 2 && seconds < 9 * 60; seconds++) await pass(1);
  expect(seconds).toBeLessThan(9 * 60); // and a minute is left
  await pass(1);
  expect(wire.named("join").at(-1)).toMatchObject({ on: 2, since: { epoch: "e", seq: 1 } });
  expect(room.joined && client.status).toBe("open");
  expect(heard).toEqual([1, 2, 3]);
  expect(wire.open).toEqual([1, 2]);
  await pass(10);
  expect(wire.open).toEqual([2]);
  expect(statuses).toEqual([]);
  expect(client.error).toBeNull();
});

test.each(["refused", "late"])("where the one that is to take its place is %s, the old one serves until it is cut", async (how) => {
  const wire = new Wire();
  client = wire.connect();
  const room = client.join("channel:1");
  await pass(1);
  if (how === "refused") wire.refuses = true;
  else wire.handshake = 30 * 60_000;
  await pass(119 * 60);
  expect(wire.tokens).toHaveLength(2);
  expect(wire.open).toEqual([1]);
  const said = room.publish("message:new", { content: "hi" });
  await pass(1);
  expect((await said).seq).toBe(1);
  wire.refuses = false;
  client.close();
  await pass(60 * 60);
  expect(wire.open).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});
