import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Client, Room, RoomEvent } from "../../src/index.js";
import { Wire, answer, event, joined, ok, pass } from "../wire.js";

// What listeners do while they are told something. An error that nobody catches fails the run, as it would end a program.
let client: Client;
let wire: Wire;
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

/** The server has logged three events since the position that is asked from. */
const missed = [event(1), event(2), event(3)];
function behind(): void {
  wire = new Wire((frame) => (frame.action === "join" && frame.since ? ok(joined("channel:1", { seq: 3, recovered: true, events: missed })) : answer(frame)));
  client = wire.connect();
}

/** Each way in which events come: pushed one by one, in a batch, out of order, and in the answer to a join. */
const ways: [string, (room: () => Room) => Promise<void>][] = [
  ["pushed one by one", async () => missed.forEach((each) => wire.push(each))],
  ["pushed in a batch", async () => wire.push({ batch: missed })],
  ["pushed out of order", async () => [event(3), event(2), event(1)].forEach((each) => wire.push(each))],
  ["missed, and brought by a join", async () => {
    wire.cut();
    await pass(2);
  }],
];

describe.each(ways)("events that are %s", (_, come) => {
  test("are not handed to a handle that was left by its listener, nor to its other listeners", async () => {
    behind();
    const room = client.join("channel:1");
    const heard: number[] = [];
    room.onAny(({ seq }) => {
      heard.push(seq!);
      if (seq === 2) room.leave();
    });
    room.onAny(({ seq }) => heard.push(10 * seq!));
    await pass(1);
    await come(() => room);
    await pass(5);
    expect(heard).toEqual([1, 10, 2]);
    expect(wire.named("leave")).toHaveLength(1);
    expect(client.status).toBe("open");
  });

  test("are not handed to anybody once a listener has closed the client", async () => {
    behind();
    const [room, other] = [client.join("channel:1"), client.join("channel:1")];
    const heard: number[] = [];
    room.onAny(({ seq }) => {
      heard.push(seq!);
      if (seq === 2) client.close();
    });
    other.onAny(({ seq }) => heard.push(10 * seq!));
    await pass(1);
    await come(() => room);
    await pass(5);
    expect(heard).toEqual([1, 10, 2]);
    expect(client.status).toBe("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("lead to a room that is joined where a listener leaves and joins again", async () => {
    behind();
    let room = client.join("channel:1");
    const heard: number[] = [];
    const listen = ({ seq }: RoomEvent) => {
      heard.push(seq!);
      if (seq !== 2) return;
      room.leave();
      room = client.join("channel:1");
      room.onAny((each) => heard.push(10 * each.seq!));
    };
    room.onAny(listen);
    await pass(1);
    await come(() => room);
    await pass(5);
    expect(heard).toEqual([1, 2]);
    expect(room.joined).toBe(true);
    expect(client.join("channel:1").joined).toBe(true);
    const since = wire.sent.length;
    await pass(60);
    expect(wire.sent.slice(since).filter(({ action }) => action !== "ping")).toEqual([]);
  });
});

test("what is left or closed when it hears that it is joined, or that something has changed, is over", async () => {
  for (const on of ["onJoined", "onChange"] as const) {
    for (const what of ["leave", "close"] as const) {
      wire = new Wire();
      client = wire.connect();
      const room = client.join("channel:1");
      let heard = 0;
      room[on](() => {
        heard++;
        if (what === "leave") room.leave();
        else client.close();
      });
      await pass(5);
      const ended = on === "onChange" && what === "close" ? 1 : 0; // that it is joined no longer is a change, too
      expect(heard, `${on}, ${what}`).toBe(1 + ended);
      expect(room.joined).toBe(false);
      expect(client.status).toBe(what === "close" ? "closed" : "open");
      client.close();
    }
  }
});

test("a client that is closed when it hears of its status, or of an error, is over", async () => {
  wire = new Wire();
  wire.refuses = true;
  client = wire.connect();
  client.on("error", () => client.close());
  await pass(5);
  expect(client.status).toBe("closed");
  const other = new Wire();
  client = other.connect();
  client.on("status", () => client.close());
  client.join("channel:1");
  await pass(5);
  expect([client.status, other.sent]).toEqual(["closed", []]);
  expect(vi.getTimerCount()).toBe(0);
});

test("a listener that takes another one away keeps it from hearing", async () => {
  wire = new Wire();
  client = wire.connect();
  const heard: string[] = [];
  client.on("status", () => off());
  const off = client.on("status", () => heard.push("second"));
  await pass(1);
  expect(heard).toEqual([]);
});
