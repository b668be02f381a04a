import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Client, Joined } from "../../src/index.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";

// The application's own logic, as examples/hooks-node has it.
const hooks = fileURLToPath(new URL("../../../../examples/hooks-node", import.meta.url));
let bellhop: Bellhop;
let ana: Client;
beforeAll(async () => {
  bellhop = await startBellhop("--hook", `action=${hooks}`, "--hook", `join=${hooks}`);
  ana = bellhop.connect("ana");
});
afterAll(() => {
  ana.close();
  return bellhop.end();
});

test("a call gives what the hook answers, with an id and without", async () => {
  await until(() => ana.status === "open");
  expect(await ana.call("message:count", { room: "channel:1" })).toEqual({ count: 0 });
  expect(await ana.call<{ count: number }>("message:count", { room: "channel:1", id: "c1" })).toEqual({ count: 0 });
});

test("a call that nobody knows is refused, and without a connection it fails at once unless it has an id", async () => {
  await expect(ana.call("message:burn")).rejects.toMatchObject({ code: "unknown_action", retry: false });
  const late = bellhop.connect("bob");
  await expect(late.call("message:count")).rejects.toMatchObject({ code: "disconnected", retry: true });
  expect(await late.call("message:count", { id: "c2" })).toEqual({ count: 0 });
  late.close();
});

test("joining hands over the hook's state, or its refusal", async () => {
  const joined: Joined[] = [];
  const room = ana.join("channel:private-1");
  room.onJoined((one) => joined.push(one));
  await until(() => joined.length === 1);
  expect(joined[0]!.state).toEqual({ topic: "only for members" });
  const other = ana.join("channel:private-2");
  await until(() => other.error !== null);
  expect(other.error).toMatchObject({ code: "forbidden", message: "You are not a member of this channel." });
});
