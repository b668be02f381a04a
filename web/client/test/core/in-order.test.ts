import { io } from "socket.io-client";
import { afterEach, expect, test, vi } from "vitest";
import { inOrder } from "../../src/socketio.js";
import { startBellhop, until } from "../emulator.js";

afterEach(() => void vi.useRealTimers());

/** A socket that hears what a test says. */
function wire() {
  const listeners = new Set<(...args: any[]) => void>();
  const socket = { onAny: (handler: (...args: any[]) => void) => listeners.add(handler), offAny: (handler: (...args: any[]) => void) => listeners.delete(handler) };
  const order = inOrder(socket, { wait: 100 });
  const heard: unknown[] = [];
  order.on("message:new", (data) => heard.push(data));
  const say = (seq: number | undefined, data: unknown = seq, room = "channel:1") => {
    for (const listener of listeners) listener("message:new", data, seq === undefined ? {} : { room, seq });
  };
  return { order, heard, say };
}

test("what is early is held for what is before it; the first of a room too, since its place is not known", () => {
  vi.useFakeTimers();
  const { heard, say } = wire();
  for (const seq of [5, 4, 7]) say(seq);
  say(undefined, "not logged");
  say(1, "another room", "channel:2");
  expect(heard).toEqual(["not logged"]);
  vi.advanceTimersByTime(100);
  expect(heard).toEqual(["not logged", 4, 5, "another room"]);
  say(6);
  expect(heard.slice(4)).toEqual([6, 7]);
});

test("what never comes is waited for once, and is late if it does; what comes twice is given once; a log that begins anew begins", () => {
  vi.useFakeTimers();
  const { heard, say, order } = wire();
  say(1);
  vi.advanceTimersByTime(100);
  for (const seq of [3, 4]) say(seq);
  vi.advanceTimersByTime(99);
  expect(heard).toEqual([1]);
  vi.advanceTimersByTime(100);
  for (const seq of [2, 2, 3, 5]) say(seq);
  expect(heard).toEqual([1, 3, 4, 2, 5]);
  for (let seq = 6; seq < 2_000; seq++) say(seq);
  heard.length = 0;
  for (const seq of [1, 2, 3]) say(seq, `anew ${seq}`);
  expect(heard).toEqual(["anew 1", "anew 2", "anew 3"]);
  say(9, "held");
  order.end();
  say(10);
  expect(heard.at(-1)).toBe("held");
});

test("200 messages at the same time over process functions reach two plain listeners in order, each once", { timeout: 200_000 }, async () => {
  const parameters = ["RateLimit=1000", "RateBurst=1000"].flatMap((one) => ["--parameter", one]);
  const bellhop = await startBellhop("--functions", "process", "--dynamodb", "local", ...parameters);
  const sockets = ["ana", "bob", "cyd"].map((user) => io(bellhop.http, { transports: ["websocket"], forceNew: true, auth: { token: bellhop.token(user) } }));
  try {
    const [sender, ...listeners] = sockets as [typeof sockets[0], ...typeof sockets];
    const heard = listeners.map((socket) => {
      const seqs = { raw: [] as number[], ordered: [] as number[] };
      socket!.on("message:new", (_data, meta) => seqs.raw.push(meta.seq));
      inOrder(socket!, { wait: 5_000 }).on("message:new", (_data, meta) => seqs.ordered.push(meta.seq));
      return seqs;
    });
    for (const socket of sockets) expect((await socket.emitWithAck("join:channel", "busy")).ok).toBe(true);
    await Promise.all(Array.from({ length: 200 }, (_, i) => sender!.emitWithAck("message:send", { channelId: "busy", content: String(i), id: `m${i}` })));
    await until(() => heard.every(({ raw }) => raw.length === 200), "messages", 60_000);
    await until(() => heard.every(({ ordered }) => ordered.length === 200), "messages in order", 10_000);
    for (const { ordered } of heard) expect(ordered).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    console.info("overtaken without it:", heard.map(({ raw }) => raw.filter((seq, i) => seq < Math.max(...raw.slice(0, i + 1))).length).join(" and "));
  } finally {
    for (const socket of sockets) socket.close();
    await bellhop.end();
  }
});
