import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { EmitError, createEmitter, http, type Emitter } from "../../src/server/index.js";
import { startBellhop, type Bellhop } from "../emulator.js";
import { Listener } from "./listener.js";

let bellhop: Bellhop;
let emitter: Emitter;
const listeners: Listener[] = [];

beforeAll(async () => {
  bellhop = await startBellhop();
  emitter = createEmitter(http({ endpoint: bellhop.http }));
}, 120_000);
afterAll(() => bellhop.end());
afterEach(() => listeners.splice(0).forEach((l) => l.close()));

async function open(user: string, ...rooms: string[]): Promise<Listener> {
  const listener = await Listener.open(bellhop, user, ...rooms);
  listeners.push(listener);
  return listener;
}

/** Awaits a call that must fail, and gives its error. */
async function refused(call: Promise<unknown>): Promise<EmitError> {
  const error = await call.then(() => undefined, (thrown: unknown) => thrown);
  if (!(error instanceof EmitError)) throw new Error(`got ${String(error)}, want an EmitError`);
  return error;
}

describe("the helpers of socketEvents", () => {
  test("a message reaches its channel under the row's id, once however often it is sent, and not those who are excepted", async () => {
    const ana = await open("ana", "channel:m1");
    const bob = await open("bob", "channel:m1");
    const row = { id: "row-1", content: "hi", attachments: [1] };
    const options = { from: { userId: "bob", name: "Bob" }, except: ["bob"] };

    const first = await emitter.newMessage("m1", row, options);
    const again = await emitter.newMessage("m1", row, options);
    await emitter.newMessage("m1", { content: "last" });

    expect(await ana.event("message:new", "row-1")).toMatchObject({ room: "channel:m1", from: { userId: "bob", name: "Bob" }, data: row });
    await bob.event("message:new");
    expect(bob.heard.map(({ event, data }) => data ?? event)).toEqual(["room:skipped", "room:skipped", { content: "last" }]);
    expect(first).toMatchObject({ id: "row-1", results: [{ room: "channel:m1", seq: 1, id: "row-1" }] });
    expect(again.results[0]!.seq).toBe(1);
  });

  test("rows with numbers as ids, and ids that are given, name the event; others get one of their own", async () => {
    expect((await emitter.newMessage("m2", { id: 7, content: "a" })).id).toBe("7");
    expect((await emitter.newMessage("m2", { id: 7, content: "b" }, { id: "own" })).id).toBe("own");
    const made = [await emitter.newMessage("m2", { content: "c" }), await emitter.newMessage("m2", { content: "c" })];
    expect(made[0]!.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(made[0]!.id).not.toBe(made[1]!.id);
    expect((await emitter.history("channel:m2")).events.map(({ id }) => id)).toEqual(["7", "own", made[0]!.id, made[1]!.id]);
  });

  test("a deleted message is told, and gone from the log", async () => {
    const ana = await open("ana", "channel:m3");
    await emitter.newMessage("m3", { id: "secret", content: "the password" });
    await emitter.messageDeleted("m3", "secret");
    expect((await ana.event("message:deleted")).data).toMatchObject({ messageId: "secret" });
    expect(JSON.stringify(await emitter.history("channel:m3"))).not.toContain("password");
  });

  test("a notification reaches every user of a list, now or when they come", async () => {
    const ana = await open("ana");
    const { id, results } = await emitter.newNotification(["ana", "later"], { type: "event", title: "Hello", link: "/9" });
    expect(await ana.event("notification:new", id)).toMatchObject({ room: "user:ana", data: { type: "event", title: "Hello", link: "/9" } });
    expect(results.map(({ room }) => room)).toEqual(["user:ana", "user:later"]);
    expect((await emitter.history("user:later")).events).toMatchObject([{ id, event: "notification:new" }]);

    await emitter.newNotification("ana", { title: "One" }, { id: "n-1" });
    expect((await ana.event("notification:new", "n-1")).data).toEqual({ title: "One" });
  });

  test("buddies hear of goals and check-ins", async () => {
    const ana = await open("ana");
    const bob = await open("bob");
    await emitter.buddyGoalCompleted(["ana", "bob"], { goalId: "g1", title: "Run" }, { from: { userId: "cleo" } });
    await emitter.buddyCheckIn(["bob"], { goalId: "g1", note: "5 km" });
    expect(await ana.event("buddy:goal-completed")).toMatchObject({ from: { userId: "cleo" }, data: { goalId: "g1", title: "Run" } });
    expect((await bob.event("buddy:check-in")).data).toEqual({ goalId: "g1", note: "5 km" });
  });

  test("nobody to tell is no error, and sends nothing", async () => {
    const sent: unknown[] = [];
    const silent = createEmitter({ answers: true, send: async (commands) => (sent.push(...commands), []) });
    expect(await silent.buddyCheckIn([], { note: "a" })).toEqual({ id: undefined, results: [] });
    expect(await silent.newNotification([], { title: "a" }, { id: "n" })).toEqual({ id: "n", results: [] });
    expect(sent).toEqual([]);
  });

  test("a change of presence is told, and what presence answers stays", async () => {
    const ana = await open("ana", "community:p1");
    await emitter.presenceChanged("p1", { userId: "bot", name: "Bot", status: "busy", data: { mood: "calm" } });
    expect((await ana.event("presence:changed")).data).toEqual({ userId: "bot", name: "Bot", status: "busy", data: { mood: "calm" } });
    expect((await emitter.presence("community:p1")).map(({ userId, status }) => [userId, status])).toEqual([["ana", "online"]]);
  });

  test("typing is told to the others, and kept nowhere", async () => {
    const ana = await open("ana", "channel:t1");
    const bob = await open("bob", "channel:t1");
    const before = Date.now();
    expect(await emitter.userTyping("t1", { userId: "bob", name: "Bob" })).toEqual({ id: undefined, results: [{ room: "channel:t1" }] });
    await emitter.userStoppedTyping("t1", { userId: "bob" });
    const typing = await ana.event("user:typing");
    expect(typing).toMatchObject({ from: { userId: "bob", name: "Bob" } });
    expect(typing.seq).toBeUndefined();
    const { until } = typing.data as { until: number };
    expect(until - before).toBeGreaterThanOrEqual(12_000);
    expect(until - Date.now()).toBeLessThanOrEqual(12_000);
    await ana.event("user:stopped-typing");
    expect(bob.heard).toEqual([]);
    expect((await emitter.history("channel:t1")).events).toEqual([]);
  });

  test.each<[string, () => Promise<unknown>]>([
    ["no channel", () => emitter.newMessage("", { content: "a" })],
    ["no content", () => emitter.newMessage("c", {} as { content: string })],
    ["no message", () => emitter.messageDeleted("c", "")],
    ["no user", () => emitter.newNotification([""], { title: "a" })],
    ["no status", () => emitter.presenceChanged("7", { userId: "ana", status: "" })],
    ["nobody who types", () => emitter.userTyping("c", { userId: "" })],
    ["no room", () => emitter.presence("")],
    ["nobody to disconnect", () => emitter.disconnect({} as { user: string })],
    ["two to disconnect", () => emitter.disconnect({ user: "a", connection: "b" } as unknown as { user: string })],
    ["no target", () => emitter.publish({ event: "a" })],
    ["no event", () => emitter.publish({ event: "", rooms: ["channel:1"] })],
    ["data that refers to itself", () => emitter.publish({ event: "a", rooms: ["channel:1"], data: ((o: { self?: object }) => (o.self = o))({}) })],
    ["data that is no JSON", () => emitter.publish({ event: "a", rooms: ["channel:1"], data: { n: 1n } })],
    ["a room without a kind", () => emitter.members("lobby")],
    ["an id of the server's form", () => emitter.publish({ event: "a", rooms: ["channel:1"], id: "abcdefghij:7" })],
  ])("%s is a bad request", async (_, call) => {
    expect(await refused(call())).toMatchObject({ name: "EmitError", code: "bad_request", retry: false });
  });
});

describe("the commands", () => {
  test("publish says what became of each target, and which failed", async () => {
    const ana = await open("ana", "channel:p2");
    const error = await refused(emitter.publish({ event: "quiz:over", rooms: ["channel:p2", "nowhere:1"], users: ["bob"], data: { winner: "ana" }, id: "quiz-1" }));
    expect(error).toMatchObject({ code: "unknown_room_kind", retry: false, id: "quiz-1" });
    expect(error.results!.map(({ room, error }) => [room, error?.code])).toEqual([
      ["channel:p2", undefined], ["nowhere:1", "unknown_room_kind"], ["user:bob", undefined],
    ]);
    expect((await ana.event("quiz:over")).data).toEqual({ winner: "ana" });
  });

  test("a connection gets what is sent to it alone; one that is gone is no error", async () => {
    const ana = await open("ana", "channel:p3");
    const { members } = await emitter.members("channel:p3");
    expect(members).toMatchObject([{ userId: "ana" }]);
    const stats = await emitter.stats();
    expect(stats.connections).toBeGreaterThan(0);
    expect(stats.rooms.channel).toBeGreaterThan(0);
    const { results } = await emitter.publish({ event: "welcome", connections: [members[0]!.connection, "gone="], data: "you" });
    expect(results).toEqual([{ connection: members[0]!.connection }, { connection: "gone=", gone: true }]);
    expect(await ana.event("welcome")).toMatchObject({ data: "you" });
  });

  test("the same id for another event is a conflict", async () => {
    await emitter.publish({ event: "a", rooms: ["channel:p4"], id: "taken" });
    expect(await refused(emitter.publish({ event: "b", rooms: ["channel:p4"], id: "taken" }))).toMatchObject({ code: "conflict", retry: false });
  });

  test("history pages backwards", async () => {
    await emitter.publishAll(...Array.from({ length: 5 }, (_, i) => ({ event: "n", rooms: ["channel:h1"], data: i })));
    const newest = await emitter.history("channel:h1", { limit: 2 });
    expect(newest).toMatchObject({ room: "channel:h1", seq: 5, more: true, events: [{ seq: 4, data: 3 }, { seq: 5, data: 4 }] });
    const older = await emitter.history("channel:h1", { before: newest.events[0]!.seq!, limit: 10 });
    expect(older.events.map(({ data }) => data)).toEqual([0, 1, 2]);
    expect(older.more).toBe(false);
  });

  test("users are put into rooms and taken out of them", async () => {
    const ana = await open("ana");
    expect(await emitter.join("ana", "channel:j1")).toBe(1);
    await emitter.newMessage("j1", { content: "in" }, { id: "in" });
    await ana.event("message:new", "in");
    expect(await emitter.leave("ana", "channel:j1")).toBe(1);
    expect((await emitter.members("channel:j1")).members).toEqual([]);
    expect(await emitter.join("nobody", "channel:j1")).toBe(0);
    expect(await refused(emitter.join("ana", "user:bob"))).toMatchObject({ code: "forbidden" });
  });

  test("rooms are operated on in the words of Socket.IO", async () => {
    const [ana, bob, cyd] = [await open("ana", "channel:o1"), await open("bob", "channel:o1"), await open("cyd", "channel:o2")];
    await emitter.to("channel:o1").to("channel:o2").except("user:bob").emit("news", 1);
    expect(await ana.event("news")).toMatchObject({ data: 1, room: "channel:o1" });
    expect(await cyd.event("news")).toMatchObject({ data: 1, room: "channel:o2" });
    const sockets = await emitter.in(["channel:o1", "channel:o2"]).except("channel:o2").fetchSockets();
    expect(sockets.map(({ userId, codec }) => [userId, codec]).sort()).toEqual([["ana", "bellhop.v1"], ["bob", "bellhop.v1"]]);
    expect(sockets[0]!.rooms).toContain("channel:o1");
    await emitter.in("channel:o1").socketsJoin(["channel:o3", "channel:o4"]);
    await emitter.in("channel:o1").except("ana").socketsLeave("channel:o3");
    expect((await emitter.members("channel:o3")).members.map(({ userId }) => userId)).toEqual(["ana"]);
    await emitter.to("channel:o4").volatile.emit("flash");
    expect(await bob.event("flash")).not.toHaveProperty("seq");
    const { answers, missing } = await emitter.in("channel:o1").timeout(200).emitWithAck("sure?");
    expect([answers, missing.length]).toEqual([[], 2]); // they speak bellhop.v1
    await emitter.in("channel:o2").disconnectSockets("over");
    expect(await cyd.event("session:ending")).toMatchObject({ data: { reason: "over" } });
    expect(await refused(emitter.in([]).fetchSockets())).toMatchObject({ code: "bad_request" });
  });

  test("everybody who is connected is told, by one call", async () => {
    const [ana, bob] = [await open("all-ana"), await open("all-bob")];
    const sent = await emitter.publish({ all: true, event: "notice", data: 1, id: "all-1", except: ["all-bob"] });
    expect(sent).toMatchObject({ id: "all-1", results: [] });
    expect(sent.reached).toBeGreaterThanOrEqual(1);
    expect(await ana.event("notice")).toMatchObject({ room: "user:all-ana", data: 1, id: "all-1" });
    await emitter.publish({ all: true, event: "flash", ephemeral: true });
    expect(await bob.event("flash")).not.toHaveProperty("seq");
    expect(bob.heard.some(({ event }) => event === "notice")).toBe(false);
    expect(await refused(emitter.publish({ all: true, rooms: ["channel:a"], event: "notice" }))).toMatchObject({ code: "bad_request" });
  });

  test("what goes to everybody goes on after a command that did not reach somebody, which is said", async () => {
    const sent: object[] = [];
    const pages = [
      { ok: false, error: { code: "internal", message: "boom", retry: true }, data: { reached: 1, results: [{ room: "user:eve" }], next: "8" } },
      { ok: true, data: { reached: 2, results: [] } },
    ];
    const told = createEmitter({ answers: true, send: async (texts) => texts.map((text) => (sent.push(JSON.parse(text) as object), { answer: pages.shift() })) });
    const [outcome] = await told.publishAll({ all: true, event: "news", id: "n1" });
    expect(outcome).toMatchObject({ reached: 3, results: [{ room: "user:eve" }], error: { code: "internal" } });
    expect(sent).toEqual([expect.not.objectContaining({ after: "8" }), expect.objectContaining({ id: "n1", after: "8" })]);
  });

  test("a room is closed, and everybody told why", async () => {
    const ana = await open("ana", "channel:c1");
    await emitter.close("channel:c1", "archived");
    expect((await ana.event("room:closed")).data).toEqual({ reason: "archived" });
    expect((await emitter.members("channel:c1")).members).toEqual([]);
  });

  test("a user is disconnected, and told why; a connection that is not there is not counted", async () => {
    const eve = await open("eve");
    const gone = new Promise((resolve) => eve.socket.on("close", resolve));
    expect(await emitter.disconnect({ user: "eve", reason: "spam" })).toBe(1);
    expect((await eve.event("session:ending")).data).toEqual({ reason: "spam" });
    await gone;
    expect(await emitter.disconnect({ connection: "gone=" })).toBe(0);
  });

  test("1,200 users are told with two commands, and 400 long names with as many as fit", async () => {
    const users = Array.from({ length: 1_200 }, (_, i) => `many-${i}`);
    const { id, results } = await emitter.newNotification(users, { title: "hi" });
    expect(results.map(({ room }) => room)).toEqual(users.map((user) => `user:${user}`));
    expect(new Set(results.map((r) => r.id))).toEqual(new Set([id]));

    const long = Array.from({ length: 400 }, (_, i) => `${i}-`.padEnd(1_000, "ä"));
    const sent: string[] = [];
    const recorder = createEmitter({ answers: false, send: async (commands) => (sent.push(...commands), commands.map(() => ({}))) });
    await recorder.publish({ event: "a", users: long });
    expect(sent.length).toBeGreaterThan(3);
    expect(Math.max(...sent.map((text) => Buffer.byteLength(text)))).toBeLessThanOrEqual(200 * 1024);
    expect(sent.flatMap((text) => (JSON.parse(text) as { users: string[] }).users)).toEqual(long);
    expect(new Set(sent.map((text) => (JSON.parse(text) as { id: string }).id)).size).toBe(1);
  });

  test("data that no connection could take is refused before it is sent", async () => {
    const fits = "ä".repeat(63 * 1024 - 1); // two bytes each, and the quotes
    await emitter.publish({ event: "big", rooms: ["channel:b1"], data: fits });
    expect(await refused(emitter.publish({ event: "big", rooms: ["channel:b1"], data: `${fits}a` }))).toMatchObject({ code: "too_large" });
    expect((await emitter.history("channel:b1")).seq).toBe(1);
  });

  test("publishAll gives what became of each, in order, and sends nothing when one is malformed", async () => {
    const outcomes = await emitter.publishAll(
      { event: "a", rooms: ["channel:all"], id: "1" },
      { event: "a", rooms: ["nowhere:1"], id: "2" },
      { event: "message:new", rooms: ["channel:all"], id: "3", data: { content: "c" } },
    );
    expect(outcomes.map(({ id, error }) => [id, error?.code])).toEqual([["1", undefined], ["2", "unknown_room_kind"], ["3", undefined]]);
    expect(outcomes.map(({ results }) => results[0]?.seq)).toEqual([1, undefined, 2]);
    expect(await refused(emitter.publishAll({ event: "a", rooms: ["channel:all"] }, { event: "a" }))).toMatchObject({ code: "bad_request" });
    expect(await emitter.publishAll()).toEqual([]);
    expect((await emitter.history("channel:all")).seq).toBe(2);
  });
});

describe("transports of other people", () => {
  test.each<[string, (n: number) => Promise<object[]>, object]>([
    ["that reject", async () => { throw new Error("bus is down"); }, { code: "refused", message: expect.stringContaining("bus is down") }],
    ["that lose outcomes", async () => [], { code: "function" }],
    ["that answer nothing", async (n) => Array.from({ length: n }, () => ({})), { code: "function" }],
    ["that answer something else", async (n) => Array.from({ length: n }, () => ({ answer: { ok: false } })), { code: "function" }],
  ])("%s are errors of the call", async (_, send, want) => {
    const other = createEmitter({ answers: true, send: (commands) => send(commands.length) });
    expect(await refused(other.publish({ event: "a", rooms: ["channel:1"], id: "x" }))).toMatchObject({ ...want, id: "x" });
    expect(await refused(other.presence("community:1"))).toMatchObject(want);
  });
});

test("members are asked for until there are no more", async () => {
  const asked: unknown[] = [];
  const emitter = createEmitter({
    answers: true,
    send: async (commands) => commands.map((text) => {
      const { after } = JSON.parse(text) as { after?: string };
      asked.push(after);
      const members = [{ connection: after ?? "c0", userId: "ana" }];
      return { answer: { ok: true, data: after === "2" ? { members, more: false } : { members, more: true, next: after === undefined ? "1" : "2" } } };
    }),
  });
  expect(await emitter.members("channel:1")).toEqual({
    room: "channel:1", members: ["c0", "1", "2"].map((connection) => ({ connection, userId: "ana" })), more: false,
  });
  expect(asked).toEqual([undefined, "1", "2"]);
});
