import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Client, RoomEvent } from "../../src/index.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";

let bellhop: Bellhop;
let room = 0;
const open: Client[] = [];
beforeAll(async () => {
  bellhop = await startBellhop("--memory");
});
afterAll(async () => {
  for (const client of open) client.close();
  await bellhop.end();
});
const connect = (...[user, options]: Parameters<Bellhop["connect"]>) => {
  const client = bellhop.connect(user, { ...options });
  open.push(client);
  return client;
};
const another = () => `channel:waiting-${++room}`;
const say = (name: string, content: string) => bellhop.emit({ command: "publish", rooms: [name], event: "message:new", data: { content } });

describe("ready", () => {
  test("resolves when the server has answered, and again for whoever asks later", async () => {
    const joined = connect("ana").join(another());
    expect(await joined.ready()).toMatchObject({ recovered: false, first: true, position: { seq: 0 } });
    expect(joined.joined).toBe(true);
    expect(await joined.ready()).toMatchObject({ first: true });
  });

  test("is rejected where the join is refused, the room left, or the client closed", async () => {
    const client = connect("ana", { grants: { "channel:*": ["join"] } });
    await expect(client.join("community:1").ready()).rejects.toMatchObject({ code: "forbidden" });
    const left = client.join(another());
    const waits = left.ready();
    left.leave();
    await expect(waits).rejects.toMatchObject({ code: "closed" });
    await expect(left.ready()).rejects.toMatchObject({ code: "closed" });
    const other = connect("bob");
    const never = other.join(another()).ready();
    other.close();
    await expect(never).rejects.toMatchObject({ code: "closed" });
  });

  test("ends with its signal, and the room stays joined", async () => {
    const mine = connect("ana").join(another());
    const stop = new AbortController();
    const waits = mine.ready({ signal: stop.signal });
    stop.abort(new Error("enough"));
    await expect(waits).rejects.toThrow("enough");
    await mine.ready();
    await expect(mine.ready({ signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
  });
});

describe("once and messages", () => {
  test("once is the next event of a name", async () => {
    const mine = connect("ana").join(another());
    await mine.ready();
    const next = mine.once("poll:opened");
    await mine.publish("message:new", { content: "no poll" });
    await mine.publish("poll:opened", { question: "soup?" });
    await mine.publish("poll:opened", { question: "cake?" });
    expect((await next).data).toEqual({ question: "soup?" });
    const never = mine.once("poll:opened");
    mine.leave();
    await expect(never).rejects.toMatchObject({ code: "closed" });
  });

  test("messages come in order, those of a cut too, until the room is left", async () => {
    const mine = connect("ana").join(another());
    await mine.ready();
    const heard: string[] = [];
    const all = (async () => {
      for await (const { data } of mine.messages()) heard.push(data.content);
    })();
    await say(mine.name, "1");
    await say(mine.name, "2");
    await until(() => heard.length === 2);
    await bellhop.cut("ana");
    for (const n of ["3", "4", "5"]) await say(mine.name, n);
    await until(() => heard.length === 5);
    mine.leave();
    await all;
    expect(heard).toEqual(["1", "2", "3", "4", "5"]);
  });

  test("whoever breaks off hears nothing more; other names are other streams", async () => {
    const mine = connect("ana").join(another());
    await mine.ready();
    const polls: RoomEvent[] = [];
    const all = (async () => {
      for await (const event of mine.messages({ event: "poll:opened" })) {
        polls.push(event);
        break;
      }
    })();
    await mine.publish("message:new", { content: "no poll" });
    await mine.publish("poll:opened", 1);
    await all;
    await mine.publish("poll:opened", 2);
    expect(polls.map(({ data }) => data)).toEqual([1]);
  });

  test("what nobody takes is bounded, and a signal ends it", async () => {
    const mine = connect("ana").join(another());
    await mine.ready();
    const slow = mine.messages({ event: "n" });
    for (let n = 0; n < 1_200; n += 50) {
      await bellhop.emit(Array.from({ length: 50 }, (_, i) => ({ command: "publish", rooms: [mine.name], event: "n", data: n + i })));
    }
    await until(() => (mine.position?.seq ?? 0) >= 1_200);
    const taken: unknown[] = [];
    await expect((async () => {
      for await (const { data } of slow) taken.push(data);
    })()).rejects.toMatchObject({ code: "dropped" });
    expect(taken).toEqual(Array.from({ length: 1_000 }, (_, i) => i));
    const stop = new AbortController();
    const stream = mine.messages({ signal: stop.signal });
    const next = stream.next();
    stop.abort(new Error("enough"));
    await expect(next).rejects.toThrow("enough");
    expect(await stream.next()).toEqual({ value: undefined, done: true });
    await expect(mine.messages({ signal: stop.signal }).next()).rejects.toThrow("enough");
  });
});

describe("signals", () => {
  test("a publish that is given up before there is a connection is never sent", async () => {
    let give: (token: string) => void = () => {};
    const client = connect("ana", { token: () => new Promise<string>((resolve) => (give = resolve)) });
    const mine = client.join(another());
    const stop = new AbortController();
    const given = mine.publish("message:new", { content: "given up" }, { signal: stop.signal });
    const kept = mine.publish("message:new", { content: "kept" }, { signal: new AbortController().signal });
    stop.abort(new Error("enough"));
    await expect(given).rejects.toThrow("enough");
    await until(() => give.length > 0);
    give(bellhop.token("ana"));
    expect((await kept).seq).toBe(1);
    const { events } = await mine.history();
    expect(events.map(({ data, seq }) => [seq satisfies number, (data as { content: string }).content])).toEqual([[1, "kept"]]);
  });

  test("many may wait for one signal, and Node does not warn of a leak", async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => warnings.push(warning);
    process.on("warning", warned);
    const { signal } = new AbortController();
    const client = connect("ana", { token: () => new Promise<string>(() => {}) });
    const mine = client.join(another());
    const all = Array.from({ length: 20 }, (_, i) => [mine.publish("x", i, { signal }), mine.ready({ signal }), mine.messages({ signal }).next()]).flat();
    await new Promise((done) => setTimeout(done, 50));
    client.close();
    await Promise.allSettled(all);
    process.off("warning", warned);
    expect(warnings).toEqual([]);
  });

  test("history, presence, calls and readings are given up", async () => {
    const client = connect("ana");
    const mine = client.join("community:waiting");
    await mine.ready();
    const signal = AbortSignal.abort(new Error("enough"));
    for (const call of [
      mine.history({ signal }), mine.presence("away", undefined, { signal }), client.presence("away", undefined, { signal }), client.readNotification("1", { signal }),
      client.call("poll:vote", { signal }), client.call("poll:vote", { id: "v1", signal }), mine.once("x", { signal }), mine.publish("x", 1, { signal }),
    ]) await expect(call).rejects.toThrow("enough");
  });
});

test("a handle and a client can be disposed of", async () => {
  const client = connect("ana");
  const mine = client.join(another());
  await mine.ready();
  mine[Symbol.dispose]();
  expect(mine.joined).toBe(false);
  client[Symbol.dispose]();
  expect(client.status).toBe("closed");
});

test("an error says when to come again", async () => {
  const client = connect("ana", { WebSocket });
  const errors: (number | undefined)[] = [];
  client.on("error", ({ retryAfterMs }) => errors.push(retryAfterMs));
  const mine = client.join(another());
  await mine.ready();
  for (let i = 0; i < 60; i++) mine.signal("typing:start");
  await until(async () => (await mine.publish("message:new", { content: "after" })).seq > 0);
  expect(errors.every((ms) => ms === undefined || ms > 0)).toBe(true);
});
