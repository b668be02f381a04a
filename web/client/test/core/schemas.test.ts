import * as v from "valibot";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import * as z from "zod";
import { checked, type CheckedOptions, type SchemaError } from "../../src/schemas.js";
import { TestServer, type Question } from "../../src/testing/index.js";
import type { Client, RoomEvent } from "../../src/index.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";
import { overSocketIO } from "../socketio.js";

// Schemas of two libraries, as an application declares them.
const rooms = {
  channel: {
    events: { "poll:opened": z.object({ question: z.string(), options: z.array(z.string()).min(2), seconds: z.number().default(60) }) },
    signals: { cursor: v.object({ x: v.number(), y: v.number() }) },
  },
};
const calls = { "poll:vote": { data: z.object({ option: z.string() }), answer: z.object({ votes: z.number() }) } };
const poll = { question: "soup?", options: ["yes", "no"] };
const wrong = { question: "soup?", options: ["yes"] };

let bellhop: Bellhop;
let room = 0;
const open: { close(): void }[] = [];
beforeAll(async () => void (bellhop = await startBellhop("--memory")));
afterEach(() => {
  for (const each of open.splice(0)) each.close();
  vi.restoreAllMocks();
});
afterAll(() => bellhop.end());

const connect = (user: string, options?: CheckedOptions): Client => {
  const client = bellhop.connect(user, { transport: checked({ rooms, calls }, options) });
  open.push(client);
  return client;
};
const another = () => `channel:schemas-${++room}`;
const emit = (name: string, data: unknown, event = "poll:opened") => bellhop.emit({ command: "publish", rooms: [name], event, data });

test.each([["a WebSocket", {}], ["Socket.IO", { over: overSocketIO }]] as const)("what does not fit is not sent over %s, and the error has its issues", async (_, how) => {
  const mine = connect("ana", how).join(another());
  await mine.ready();
  const refusal = (await mine.publish("poll:opened", wrong).catch((err: unknown) => err)) as SchemaError;
  expect(refusal).toMatchObject({ name: "BellhopError", code: "bad_request", retry: false, issues: [{ path: ["options"], message: expect.stringMatching(/>=2/) }] });
  expect(refusal.message).toMatch(/^poll:opened in channel:\S+ does not fit its schema: options: /);
  expect(() => mine.signal("cursor", { x: 1 })).toThrow(/cursor in channel:\S+ does not fit its schema: y: /);
  expect(mine.signal("cursor", { x: 1, y: 2 })).toBe(true);
  expect((await mine.publish("poll:opened", poll)).seq).toBe(1);
  expect((await mine.publish("message:new", { content: "has no schema" })).seq).toBe(2);
  const { data } = (await bellhop.emit({ command: "history", room: mine.name })) as { data: { events: RoomEvent[] } };
  expect(data.events[0]!.data).toEqual(poll); // as it was given
});

test("what comes in and does not fit is heard by nobody, and leaves no gap; what fits is what the schema makes of it", async () => {
  const refused: [string, unknown][] = [];
  const client = connect("ana", { refused: ({ issues: [issue] }, { data }) => refused.push([issue!.message, data]) });
  const mine = client.join(another());
  const heard: [number | undefined, unknown][] = [];
  mine.onAny(({ seq, data }) => heard.push([seq, data]));
  await mine.ready();
  await emit(mine.name, wrong);
  await emit(mine.name, poll);
  await until(() => heard.length === 1);
  await bellhop.cut("ana");
  await emit(mine.name, "no poll at all");
  await emit(mine.name, { ...poll, seconds: 5 });
  await until(() => heard.length === 2);
  expect(heard).toEqual([[2, { ...poll, seconds: 60 }], [4, { ...poll, seconds: 5 }]]);
  expect(mine.position?.seq).toBe(4);
  expect(refused.map(([, data]) => data)).toEqual([wrong, "no poll at all"]);
  expect((await mine.history()).events.map(({ seq, data }) => [seq, data])).toEqual(heard);
});

test("without a handler it is written to the console", async () => {
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  const mine = connect("ana").join(another());
  await mine.ready();
  await emit(mine.name, wrong);
  await until(() => mine.position?.seq === 1);
  expect(warned.mock.calls).toEqual([[expect.stringMatching(/^Bellhop: poll:opened in channel:\S+ does not fit its schema: options: /)]]);
});

test("names that objects have by themselves are no schemas", async () => {
  const mine = connect("ana").join(another());
  const heard: string[] = [];
  mine.onAny(({ event }) => heard.push(event));
  await mine.ready();
  for (const name of ["constructor", "toString", "__proto__"]) expect(await emit(mine.name, 1, name)).toMatchObject({ ok: true });
  await until(() => heard.length === 3);
  expect(heard).toEqual(["constructor", "toString", "__proto__"]);
});

test("calls are asked and answered by their schemas", async () => {
  const hook = ({ hook, data }: Question) => (hook === "action" ? { data: { votes: (data as { option: string }).option === "soup" ? 1 : "many" } } : {});
  const server = new TestServer({ hook });
  open.push(server);
  const client = server.connect("ana", { transport: checked({ rooms, calls }) });
  await until(() => client.status === "open");
  expect(await client.call("poll:vote", { data: { option: "soup" } })).toEqual({ votes: 1 });
  await expect(client.call("poll:vote", { data: { option: 1 } })).rejects.toMatchObject({ code: "bad_request", issues: [{ path: ["option"] }] });
  await expect(client.call("poll:vote", { data: { option: "cake" } })).rejects.toMatchObject({ message: expect.stringMatching(/^The answer to poll:vote does not fit its schema: votes: /) });
});

test("a schema that does not answer at once is a mistake, and said to be one", async () => {
  const slow = z.string().refine(() => Promise.resolve(true));
  const client = bellhop.connect("ana", { transport: checked({ rooms: { channel: { events: { slow } } } }) });
  open.push(client);
  const mine = client.join(another());
  await mine.ready();
  await expect(mine.publish("slow", "x")).rejects.toThrow(/must answer at once/);
});
