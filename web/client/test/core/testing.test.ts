import { afterEach, beforeAll, afterAll, describe, expect, test } from "vitest";
import type { Client, Room } from "../../src/index.js";
import type { Emitter } from "../../src/server/index.js";
import { createEmitter, http } from "../../src/server/index.js";
import { TestServer, type Question } from "../../src/testing/index.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";

/** What the script needs of a server. */
interface Stage {
  connect(user: string, grants?: Record<string, ("join" | "publish" | "moderate" | "signal")[]>): Client;
  cut(user: string): Promise<void> | void;
  emitter: Emitter;
  end(): Promise<void> | void;
}

/** What is promised, whoever keeps it: this runs on the server of tests and on `bellhop dev`. */
function script(start: () => Promise<Stage>): void {
  let stage: Stage;
  let count = 0;
  beforeAll(async () => {
    stage = await start();
  });
  afterAll(() => stage.end());
  const another = (kind = "channel") => `${kind}:script-${++count}`;
  const enter = async (user: string, name: string, grants?: Parameters<Stage["connect"]>[1]): Promise<{ client: Client; room: Room; heard: string[] }> => {
    const client = stage.connect(user, grants);
    const room = client.join(name);
    const heard: string[] = [];
    room.onAny(({ event, seq = "", from, data }) => heard.push(`${seq} ${event} ${from?.userId ?? ""} ${JSON.stringify(data) ?? ""}`.trim()));
    await room.ready();
    return { client, room, heard };
  };

  test("a message has its place, its author and its id, and is logged once under that", async () => {
    const name = another();
    const [ana, bob] = [await enter("ana", name), await enter("bob", name)];
    const first = await ana.room.publish("message:new", { content: "hi" }, { id: `m-${name}` });
    expect(await ana.room.publish("message:new", { content: "hi" }, { id: `m-${name}` })).toEqual(first);
    await expect(ana.room.publish("message:new", { content: "other" }, { id: `m-${name}` })).rejects.toMatchObject({ code: "conflict" });
    expect((await bob.room.publish("message:new", { content: "hi" }, { id: `m-${name}` })).seq).toBe(2); // bob's own id
    await until(() => bob.heard.length === 2 && ana.heard.length === 2);
    expect(bob.heard).toEqual(['1 message:new ana {"content":"hi"}', '2 message:new bob {"content":"hi"}']);
    expect(bob.heard).toEqual(ana.heard);
    const { events, more, seq } = await ana.room.history();
    expect([events.map(({ id }) => id), more, seq]).toEqual([[`m-${name}`, `m-${name}`], false, 2]);
  });

  test("what is not granted is refused", async () => {
    const name = another();
    const { client, room } = await enter("ana", name, { "channel:*": ["join"] });
    await expect(room.publish("message:new", { content: "hi" })).rejects.toMatchObject({ code: "forbidden" });
    await expect(client.join("community:1").ready()).rejects.toMatchObject({ code: "forbidden" });
    await expect(client.join("user:bob").ready()).rejects.toMatchObject({ code: "forbidden" });
    await expect(client.join("hall:1").ready()).rejects.toMatchObject({ code: "unknown_room_kind" });
    await expect(client.call("poll:vote")).rejects.toMatchObject({ code: "unknown_action" });
    const bob = await enter("bob", name);
    await expect(bob.room.publish("user:online", {} as never)).rejects.toMatchObject({ code: "forbidden" });
  });

  test("after a cut everybody has everything, in order, and once", async () => {
    const name = another();
    const [ana, bob] = [await enter("ana", name), await enter("bob", name)];
    await ana.room.publish("n", 1);
    await until(() => bob.heard.length === 1);
    const joined: boolean[] = [];
    bob.room.onJoined(({ recovered }) => joined.push(recovered));
    await stage.cut("bob");
    for (const n of [2, 3, 4]) await ana.room.publish("n", n);
    await until(() => bob.heard.length === 4 && joined.length === 1);
    expect(bob.heard).toEqual([1, 2, 3, 4].map((n) => `${n} n ana ${n}`));
    expect(joined).toEqual([true]);
  });

  test("typing is told to the others, and is not logged", async () => {
    const name = another();
    const [ana, bob] = [await enter("ana", name), await enter("bob", name)];
    expect(ana.room.signal("typing:start")).toBe(true);
    await until(() => bob.heard.length === 1);
    ana.room.signal("typing:stop");
    ana.room.signal("cursor", { x: 1 });
    await until(() => bob.heard.length === 3);
    expect(bob.heard.map((line) => line.replace(/\d{13}/, "T")).sort()).toEqual(['cursor ana {"x":1}', "user:stopped-typing ana", 'user:typing ana {"until":T}']);
    expect(ana.heard).toEqual([]);
    expect((await ana.room.history()).events).toEqual([]);
  });

  test("presence: once for each user, with a status, and gone when the user leaves", async () => {
    const name = another("community");
    const ana = await enter("ana", name);
    const [bob, too] = [await enter("bob", name), await enter("bob", name)];
    await until(() => ana.room.present.size === 2);
    await bob.room.presence("away", { mood: "calm" });
    await until(() => ana.room.present.get("bob")?.status === "away");
    expect(ana.room.present.get("bob")).toMatchObject({ userId: "bob", status: "away", data: { mood: "calm" }, version: 2 });
    bob.room.leave();
    too.room.leave();
    await until(() => ana.room.present.size === 1);
    const { events } = await ana.room.history();
    expect(events.map(({ event, from, id }) => `${event} ${from?.userId} ${id.replace(/\d{13}/, "T")}`)).toEqual([
      "user:online ana online:ana:T", "user:online bob online:bob:T", "presence:changed bob changed:bob:T:2", "user:offline bob offline:bob:T",
    ]);
    expect((await stage.emitter.presence(name)).map(({ userId }) => userId)).toEqual(["ana"]);
  });

  test("a message is deleted by its author, and by who moderates", async () => {
    const name = another();
    const [ana, bob] = [await enter("ana", name, { "channel:*": ["join", "publish"] }), await enter("bob", name, { "channel:*": ["join", "publish"] })];
    const { id } = await ana.room.publish("message:new", { content: "oh" });
    await expect(bob.room.publish("message:deleted", { messageId: id })).rejects.toMatchObject({ code: "forbidden" });
    await ana.room.publish("message:deleted", { messageId: id });
    await until(() => bob.heard.length === 2);
    expect(bob.heard[1]).toBe(`2 message:deleted ana {"messageId":"${id}","userId":"ana","seq":1}`);
    const { events } = await bob.room.history();
    expect(events.map(({ data }) => data)).toEqual([null, { messageId: id, seq: 1, userId: "ana" }]);
  });

  test("programs emit, ask and close", async () => {
    const name = another();
    const [ana, bob] = [await enter("ana", name), await enter("bob", name)];
    const { results } = await stage.emitter.publish({ rooms: [name], event: "news", data: 1, id: "n1", except: ["ana"], from: { userId: "bot" } });
    expect(results).toMatchObject([{ room: name, seq: 1, id: "n1" }]);
    await until(() => bob.heard.length === 1);
    expect([bob.heard, ana.heard]).toEqual([["1 news bot 1"], []]);
    await until(() => ana.room.position?.seq === 1); // it knows that there was one
    expect((await stage.emitter.members(name)).members.map(({ userId }) => userId).sort()).toEqual(["ana", "bob"]);
    const inbox = bob.client.join("user:bob");
    const told = inbox.once("notification:new");
    await inbox.ready();
    await stage.emitter.newNotification("bob", { title: "Hello" }, { id: `note-${name}` });
    expect((await told).data).toEqual({ title: "Hello" });
    const read = inbox.once("notification:read");
    await bob.client.readNotification(`note-${name}`);
    expect((await read).data).toEqual({ notificationId: `note-${name}` });
    await stage.emitter.close(name, "over");
    await until(() => ana.heard.length === 1 && bob.heard.length === 2);
    expect(ana.heard).toEqual(['room:closed  {"reason":"over"}']);
    expect((await stage.emitter.members(name)).members).toEqual([]);
    const ending = new Promise<string>((resolve) => void ana.client.on("session:ending", ({ reason }) => resolve(reason)));
    expect(await stage.emitter.disconnect({ user: "ana", reason: "banned" })).toBeGreaterThan(0);
    expect(await ending).toBe("banned");
  });
}

describe("the script on bellhop dev", () => {
  script(async () => {
    const bellhop: Bellhop = await startBellhop("--memory");
    const open: Client[] = [];
    return {
      connect: (user, grants = { "*": ["join", "publish", "moderate"] }) => {
        const client = bellhop.connect(user, { grants });
        open.push(client);
        return client;
      },
      cut: (user) => bellhop.cut(user),
      emitter: createEmitter(http({ endpoint: bellhop.http })),
      end: async () => {
        for (const client of open) client.close();
        await bellhop.end();
      },
    };
  });
});

describe("the script on the server of tests", () => {
  script(async () => {
    const server = new TestServer();
    return { connect: (user, grants) => server.connect(user, grants && { grants }), cut: (user) => server.cut(user), emitter: server.emitter, end: () => server.close() };
  });
});

describe("what only the server of tests can do", () => {
  let server = new TestServer();
  afterEach(() => server.close());

  test("hours pass at once: connections end after two, clients come back, and nothing is missed", async () => {
    server = new TestServer();
    const ana = server.connect("ana", { ttl: "1d" });
    const room = ana.join("channel:1");
    await room.ready();
    const [first] = server.connections("ana").map(({ id }) => id);
    const began = server.now;
    await server.later("1h");
    expect(server.connections("ana").map(({ id }) => id)).toEqual([first]);
    await server.later("1h");
    expect(server.now - began).toBe(2 * 3_600_000);
    await room.ready();
    expect(server.connections("ana").map(({ id }) => id)).not.toEqual([first]);
    await server.emitter.newMessage("1", { content: "still here" });
    await until(() => room.position?.seq === 1);
  });

  test("a log forgets, and says so", async () => {
    server = new TestServer({ kinds: { user: { owner: true, keep: "1d" }, channel: { keep: "1h" } } });
    const room = server.connect("ana").join("channel:1", { since: { epoch: "another", seq: 3 } });
    expect((await room.ready()).recovered).toBe(false);
    await room.publish("message:new", { content: "old" });
    const { position } = room;
    await room.publish("message:new", { content: "older soon" });
    await server.later("2h");
    await server.emitter.newMessage("1", { content: "new" });
    expect(server.log("channel:1").map(({ data }) => data)).toEqual([{ content: "new" }]);
    expect((await server.connect("bob").join("channel:1", { since: position! }).ready()).recovered).toBe(false);
    expect((await server.connect("cleo").join("channel:1", { since: { ...position!, seq: 2 } }).ready()).recovered).toBe(true);
  });

  test("who is cut off is present for the grace, and a token ends", async () => {
    server = new TestServer();
    const ana = server.connect("ana");
    await ana.join("community:1").ready();
    const bob = server.connect("bob", { ttl: "5m" });
    const reasons: string[] = [];
    bob.on("session:ending", ({ reason }) => reasons.push(reason));
    await bob.join("community:1").ready();
    server.down = true;
    server.cut("bob");
    await server.later("9s");
    expect(server.present("community:1").map(({ userId }) => userId)).toEqual(["ana", "bob"]);
    await server.later("1s");
    expect(server.present("community:1").map(({ userId }) => userId)).toEqual(["ana"]);
    server.down = false;
    bob.reconnect();
    await until(() => server.present("community:1").length === 2);
    await server.later("6m");
    expect(reasons).toEqual(["expired"]);
    await until(() => bob.status === "open"); // with another token
    expect(server.present("community:1").map(({ userId }) => userId)).toEqual(["ana", "bob"]);
  });

  test("actions go wrong: refused, lost, answered by nobody", async () => {
    server = new TestServer();
    const room = server.connect("ana", { replyTimeout: 50 }).join("channel:1");
    await room.ready();
    server.fail({ action: "publish", code: "forbidden" });
    await expect(room.publish("n", 1)).rejects.toMatchObject({ code: "forbidden" });
    server.fail({ action: "publish", code: "unavailable", times: 2 });
    server.fail({ action: "publish", lost: "frame" });
    server.fail({ action: "publish", lost: "answer" });
    await room.publish("n", 2);
    expect(server.log("channel:1").map(({ data }) => data)).toEqual([2]);
  });

  test("a hook answers as it would on AWS", async () => {
    const asked: Question[] = [];
    server = new TestServer({
      hook: (question) => {
        asked.push(question);
        if (question.hook === "publish") return question.data === "rude" ? { deny: { message: "Be kind." } } : { data: `${String(question.data)}!` };
        if (question.hook === "action") return question.action === "poll:vote" ? { data: { votes: 1 } } : { deny: { code: "unknown_action" } };
        if (question.hook === "join" && question.room === "channel:private") return { deny: { message: "No." } };
        return {};
      },
    });
    const ana = server.connect("ana", { name: "Ana" });
    const room = ana.join("channel:1");
    await room.ready();
    await expect(room.publish("n", "rude")).rejects.toMatchObject({ code: "forbidden", message: "Be kind." });
    await room.publish("n", "hi");
    expect(server.log("channel:1").map(({ data }) => data)).toEqual(["hi!"]);
    expect(await ana.call("poll:vote", { room: "channel:1" })).toEqual({ votes: 1 });
    await expect(ana.call("poll:count")).rejects.toMatchObject({ code: "unknown_action" });
    await expect(ana.join("channel:private").ready()).rejects.toMatchObject({ code: "forbidden" });
    expect(asked.map(({ hook }) => hook)).toEqual(["connect", "join", "publish", "publish", "action", "action", "join"]);
    expect(asked[2]).toMatchObject({ user: { id: "ana", name: "Ana" }, room: "channel:1", event: "n", data: "rude" });
  });

  test("a misspelt time is said", async () => {
    await expect((async () => new TestServer().later("2 hours"))()).rejects.toThrow('A duration is like "500ms"');
  });
});
