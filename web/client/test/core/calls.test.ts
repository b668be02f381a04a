import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Client, ClientEvents } from "../../src/index.js";
import { Wire, answer, pass, refusal } from "../wire.js";

let client: Client;
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  client.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const codes = async (promises: Promise<unknown>[]) =>
  (await Promise.allSettled(promises)).map((one) => (one.status === "fulfilled" ? "done" : (one.reason as { code: string }).code));

describe("without a connection", () => {
  test("so many calls wait, and the oldest beyond that fail; publishes are counted for themselves", async () => {
    const wire = new Wire();
    wire.refuses = true;
    client = wire.connect({ offlineLimit: 3, publishTimeout: 600_000 });
    const dropped: ClientEvents["dropped"][] = [];
    client.on("dropped", (what) => dropped.push(what));
    const room = client.join("channel:1");
    const published = Array.from({ length: 3 }, () => room.publish("message:new", { content: "hi" }));
    const asked = Array.from({ length: 4_000 }, () => room.history());
    const all = Promise.all([codes(published), codes(asked)]);
    await pass(1);
    wire.refuses = false;
    await pass(30);
    const [one, other] = await all;
    expect(one).toEqual(["done", "done", "done"]);
    expect(other.filter((code) => code === "dropped")).toHaveLength(3_997);
    expect(other.slice(-3)).toEqual(["done", "done", "done"]);
    expect(dropped).toEqual([]); // it tells of publishes
    expect(wire.named("history")).toHaveLength(3);
  });

  test("nobody is warned of a leak, however many wait", async () => {
    const warned = vi.fn();
    process.on("warning", warned);
    const wire = new Wire();
    wire.refuses = true;
    client = wire.connect();
    const waiting = codes(Array.from({ length: 50 }, (_, n) => client.join(`channel:${n}`).history()));
    await pass(1);
    client.close();
    await waiting;
    process.off("warning", warned);
    expect(warned).not.toHaveBeenCalled();
  });
});

test("what is not answered goes again under its id, on the connection that there is then", async () => {
  let silent = true;
  const wire = new Wire((frame) => (silent && frame.action !== "join" ? null : answer(frame)));
  client = wire.connect();
  const room = client.join("channel:1");
  await pass(1);
  const sent = room.publish("message:new", { content: "hi" });
  await pass(11);
  expect(client.status).toBe("open"); // a new one
  silent = false;
  await pass(11);
  await sent;
  const frames = wire.sent.filter(({ action }) => action === "publish");
  expect(new Set(frames.map(({ id }) => id)).size).toBe(1);
  expect(frames.map(({ on }) => on)).toEqual([1, 2, 2].slice(0, frames.length));
  expect(frames.length).toBeGreaterThan(1);
});

test("a room that takes no publish from its member is joined again, with pauses, until there is no more time", async () => {
  const wire = new Wire((frame) => (frame.action === "publish" ? refusal("not_in_room") : answer(frame)));
  client = wire.connect();
  const sent = codes([client.join("channel:1").publish("message:new", { content: "hi" })]);
  await pass(61);
  expect(await sent).toEqual(["timeout"]);
  expect(wire.sent.length).toBeLessThan(80);
});

test("calls with one id are each answered", async () => {
  const wire = new Wire();
  client = wire.connect();
  const both = codes([client.call("app:do", { id: "x" }), client.call("app:do", { id: "x" })]);
  await pass(30);
  expect(await both).toEqual(["done", "done"]);
});
