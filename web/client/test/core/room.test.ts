import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type Client, type ClientEvents, type Joined, type Room, type RoomEvent } from "../../src/index.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";

let bellhop: Bellhop;
const clients: Client[] = [];
const client = (...args: Parameters<Bellhop["connect"]>) => {
  const one = bellhop.connect(...args);
  clients.push(one);
  return one;
};
beforeAll(async () => void (bellhop = await startBellhop("--parameter", "PresenceGrace=1s")));
afterEach(() => clients.splice(0).forEach((one) => one.close()));
afterAll(() => bellhop.end());

function listen(room: Room): RoomEvent[] {
  const heard: RoomEvent[] = [];
  room.onAny((event) => heard.push(event));
  return heard;
}

const contents = (heard: RoomEvent[]) => heard.filter((e) => e.event === "message:new").map((e) => (e.data as { content: string }).content);

/** A WebSocket whose network can be taken away: both ends think for a while that all is well. */
function network() {
  let down = false;
  const sockets = new Set<WebSocket>();
  class Cuttable extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args);
      sockets.add(this);
      if (down) queueMicrotask(() => this.terminate());
    }
  }
  return {
    WebSocket: Cuttable,
    cut() {
      down = true;
      for (const socket of sockets) socket.terminate();
      sockets.clear();
    },
    mend: () => void (down = false),
  };
}

describe("publish and hear", () => {
  test("two clients talk, and each hears everything once and in order", async () => {
    const [ana, bob] = [client("ana", { name: "Ana" }).join("channel:talk"), client("bob").join("channel:talk")];
    const [a, b] = [listen(ana), listen(bob)];
    await until(() => ana.joined && bob.joined);
    const results = await Promise.all(Array.from({ length: 30 }, (_, n) => (n % 2 ? bob : ana).publish("message:new", { content: `${n}` })));
    expect(new Set(results.map(({ seq }) => seq)).size).toBe(30);
    await until(() => a.length === 30 && b.length === 30);
    expect(a.map(({ seq }) => seq)).toEqual(a.map(({ seq }) => seq).toSorted((x, y) => x! - y!));
    expect(contents(a)).toEqual(contents(b));
    expect(contents(a).filter((c) => Number(c) % 2 === 0)).toEqual(Array.from({ length: 15 }, (_, n) => `${2 * n}`)); // a client's own order
    expect(a.find((e) => (e.data as { content: string }).content === "0")!.from).toEqual({ userId: "ana", name: "Ana" });
  });

  test("the same id is logged once", async () => {
    const room = client("ana").join("channel:twice");
    const heard = listen(room);
    const [first, second] = await Promise.all([1, 2].map(() => room.publish("message:new", { content: "once" }, { id: "the-id" })));
    expect(second).toEqual(first);
    await until(() => heard.length > 0);
    expect(heard.length).toBe(1);
  });

  test("signals are heard by the others, and are sent only when they can be", async () => {
    const [ana, bob] = [client("ana").join("channel:typing"), client("bob").join("channel:typing")];
    expect(ana.signal("typing:start")).toBe(false);
    await until(() => ana.joined && bob.joined);
    const heard = listen(bob);
    expect(ana.signal("typing:start")).toBe(true);
    await until(() => heard.length === 1);
    expect(heard[0]).toMatchObject({ event: "user:typing", from: { userId: "ana" } });
  });

  test("history comes by pages, back to the beginning", async () => {
    const room = client("ana").join("channel:past");
    for (let n = 0; n < 25; n++) await room.publish("message:new", { content: `${n}` });
    const all: RoomEvent[] = [];
    for (let before: number | undefined, more = true; more; before = all[0]!.seq!) {
      const page = await room.history({ limit: 10, ...(before !== undefined && { before }) });
      all.unshift(...page.events);
      more = page.more;
    }
    expect(contents(all)).toEqual(Array.from({ length: 25 }, (_, n) => `${n}`));
  });

  test("a notification that was read is read on every device", async () => {
    const [phone, laptop] = [client("nora"), client("nora")];
    const room = laptop.join("user:nora");
    const heard = listen(room);
    await until(() => room.joined);
    await bellhop.emit({ command: "publish", users: ["nora"], event: "notification:new", id: "n1", data: { title: "Hello" } });
    await phone.readNotification("n1");
    await until(() => heard.length === 2);
    expect(heard.map(({ event }) => event)).toEqual(["notification:new", "notification:read"]);
  });
});

describe("errors", () => {
  test("a room that the token does not grant says so, and what waits for it fails", async () => {
    const ana = client("ana", { grants: { "channel:1": ["join"] } });
    const room = ana.join("channel:2");
    await expect(room.publish("message:new", { content: "hi" })).rejects.toMatchObject({ name: "BellhopError", code: "forbidden", retry: false });
    expect(room.error).toMatchObject({ code: "forbidden" });
    await expect(ana.join("channel:1").publish("message:new", { content: "hi" })).rejects.toMatchObject({ code: "forbidden" });
    await expect(ana.join("nowhere:1").history()).rejects.toMatchObject({ code: "unknown_room_kind" });
  });

  test("a frame that is too large is refused before it is sent", async () => {
    const room = client("ana").join("channel:large");
    await expect(room.publish("message:new", { content: "ü".repeat(17_000) })).rejects.toMatchObject({ code: "too_large" });
    await room.publish("message:new", { content: "x".repeat(32_000) });
  });

  test("an id that is another event's is a conflict", async () => {
    const room = client("ana").join("channel:conflict");
    await room.publish("message:new", { content: "a" }, { id: "x" });
    await expect(room.publish("app:other", {}, { id: "x" })).rejects.toMatchObject({ code: "conflict" });
  });

  test("a burst beyond the rate limit is sent in the end, in order", async () => {
    const slow = await startBellhop("--parameter", "RateLimit=20", "--parameter", "RateBurst=5");
    const ana = slow.connect("ana");
    try {
      const room = ana.join("channel:burst");
      const heard = listen(room);
      const wanted = Array.from({ length: 40 }, (_, n) => `${n}`);
      await Promise.all(wanted.map((content) => room.publish("message:new", { content })));
      await until(() => heard.length === 40);
      expect(contents(heard)).toEqual(wanted);
    } finally {
      ana.close();
      await slow.end();
    }
  });
});

describe("resume", () => {
  test("nothing is lost and nothing doubled over cuts, also of what is published meanwhile", async () => {
    const net = network();
    const [ana, bob] = [client("ana").join("channel:cuts"), client("bob", { WebSocket: net.WebSocket }).join("channel:cuts")];
    const heard = listen(bob);
    const joins: Joined[] = [];
    bob.onJoined((joined) => joins.push(joined));
    await until(() => ana.joined && bob.joined);
    const sent: Promise<unknown>[] = [];
    for (let n = 0; n < 60; n++) {
      sent.push(bob.publish("message:new", { content: `b${n}` }));
      if (n % 20 === 10) net.cut();
      if (n % 20 === 15) net.mend();
      await ana.publish("message:new", { content: `a${n}` });
    }
    await Promise.all(sent);
    await until(() => heard.length === 120, "all messages", 20_000);
    expect(new Set(heard.map(({ id }) => id)).size).toBe(120);
    expect(heard.map(({ seq }) => seq)).toEqual(heard.map(({ seq }) => seq).toSorted((x, y) => x! - y!));
    for (const who of ["a", "b"]) expect(contents(heard).filter((c) => c.startsWith(who))).toEqual(Array.from({ length: 60 }, (_, n) => who + n));
    expect(joins.slice(1).every(({ recovered, first }) => recovered && !first)).toBe(true);
    expect(joins.length).toBeGreaterThan(2);
    expect(joins.slice(1).reduce((sum, { missed }) => sum + missed, 0)).toBeGreaterThan(0);
  });

  test("an absence of more than a page comes back whole", async () => {
    const net = network();
    const [ana, bob] = [client("ana").join("channel:pages"), client("bob", { WebSocket: net.WebSocket }).join("channel:pages")];
    const heard = listen(bob);
    await until(() => ana.joined && bob.joined);
    net.cut();
    const wanted = Array.from({ length: 40 }, (_, n) => n + "x".repeat(10_000));
    for (const content of wanted) await ana.publish("message:new", { content });
    let joined: Joined | undefined;
    bob.onJoined((got) => (joined = got));
    net.mend();
    await until(() => joined);
    expect(joined).toMatchObject({ recovered: true, missed: 40, first: false });
    expect(contents(heard)).toEqual(wanted);
  });

  test("a position that was kept is resumed from", async () => {
    const ana = client("ana").join("channel:kept");
    await ana.publish("message:new", { content: "seen" });
    const since = ana.position!;
    await ana.publish("message:new", { content: "missed" });
    const bob = client("bob").join("channel:kept", { since });
    const heard = listen(bob);
    let joined: Joined | undefined;
    bob.onJoined((got) => (joined = got));
    await until(() => joined);
    expect(joined).toMatchObject({ recovered: true, missed: 1 });
    expect(contents(heard)).toEqual(["missed"]);
  });

  test("a log that was lost is said to be", async () => {
    const own = await startBellhop();
    const ana = own.connect("ana");
    try {
      const room = ana.join("channel:lost");
      await room.publish("message:new", { content: "before" });
      const joins: Joined[] = [];
      room.onJoined((joined) => joins.push(joined));
      await until(() => joins.length === 1 || room.joined);
      await own.forget();
      await until(() => joins.some(({ first }) => !first));
      expect(joins.at(-1)).toMatchObject({ recovered: false, first: false });
      const heard = listen(room);
      await room.publish("message:new", { content: "after" });
      await until(() => heard.length === 1);
      expect(contents(heard)).toEqual(["after"]);
    } finally {
      ana.close();
      await own.end();
    }
  });

  test("a closed room says so and is not joined again, until somebody asks", async () => {
    const ana = client("ana");
    const room = ana.join("channel:closing");
    const heard = listen(room);
    await until(() => room.joined);
    await bellhop.emit({ command: "close", room: "channel:closing", reason: "archived" });
    await until(() => heard.length === 1);
    expect(heard[0]).toMatchObject({ event: "room:closed", data: { reason: "archived" } });
    expect(room.joined).toBe(false);
    await expect(room.publish("message:new", { content: "hi" })).rejects.toMatchObject({ code: "not_in_room" });
    const again = ana.join("channel:closing");
    await again.publish("message:new", { content: "reopened" });
  });

  test("the two hours of a connection, in short, while everybody talks", async () => {
    const short = await startBellhop("--max-connection", "1500ms");
    const [ana, bob] = [short.connect("ana"), short.connect("bob")];
    try {
      const [a, b] = [ana.join("channel:short"), bob.join("channel:short")];
      const heard = listen(b);
      const joins: Joined[] = [];
      b.onJoined((joined) => joins.push(joined));
      await until(() => a.joined && b.joined);
      const wanted: string[] = [];
      while (joins.length < 4) {
        wanted.push(`${wanted.length}`);
        await a.publish("message:new", { content: wanted.at(-1)! });
      }
      await until(() => heard.length === wanted.length);
      expect(contents(heard)).toEqual(wanted);
      expect(joins.slice(1).every(({ recovered }) => recovered)).toBe(true);
    } finally {
      ana.close();
      bob.close();
      await short.end();
    }
  });
});

describe("offline", () => {
  test("publishes wait for the connection, and the oldest are dropped when they are too many", async () => {
    const net = network();
    net.cut();
    const ana = client("ana", { WebSocket: net.WebSocket, offlineLimit: 3 });
    const dropped: ClientEvents["dropped"][] = [];
    ana.on("dropped", (what) => dropped.push(what));
    const room = ana.join("channel:offline");
    const sent = Promise.allSettled(["1", "2", "3", "4", "5"].map((content) => room.publish("message:new", { content }, { id: content })));
    await until(() => dropped.length === 2);
    net.mend();
    const results = await sent;
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled", "fulfilled", "fulfilled"]);
    expect((results[0] as PromiseRejectedResult).reason).toMatchObject({ code: "dropped", retry: true });
    expect(dropped).toEqual(["1", "2"].map((id) => ({ room: "channel:offline", event: "message:new", id })));
    expect(contents((await room.history()).events)).toEqual(["3", "4", "5"]);
  });

  test("a publish that nobody answers fails in time", async () => {
    const net = network();
    net.cut();
    const room = client("ana", { WebSocket: net.WebSocket, publishTimeout: 300 }).join("channel:late");
    await expect(room.publish("message:new", { content: "hi" })).rejects.toMatchObject({ code: "timeout", retry: true });
  });
});

describe("handles", () => {
  test("a room is left with its last handle", async () => {
    const ana = client("ana");
    const [one, two] = [ana.join("channel:handles"), ana.join("channel:handles")];
    await until(() => one.joined && two.joined);
    const heard = listen(one);
    one.leave();
    one.leave();
    await two.publish("message:new", { content: "hi" });
    expect(heard).toEqual([]);
    const rooms = async () => (await bellhop.connections("ana"))[0]!.rooms;
    expect(await rooms()).toContain("channel:handles");
    two.leave();
    await until(async () => !(await rooms()).includes("channel:handles"));
    await expect(two.publish("message:new", { content: "late" })).rejects.toMatchObject({ code: "closed" });
  });

  test("leaving and joining as fast as one can ends where one wants to be", async () => {
    const ana = client("ana");
    await until(() => ana.status === "open");
    for (let n = 0; n < 10; n++) ana.join("channel:fickle").leave();
    const room = ana.join("channel:fickle");
    await room.publish("message:new", { content: "here" });
    await until(() => room.joined);
    expect((await bellhop.connections("ana"))[0]!.rooms).toContain("channel:fickle");
    room.leave();
    for (let n = 0; n < 10; n++) ana.join("channel:fickle").leave();
    await until(async () => !(await bellhop.connections("ana"))[0]!.rooms.includes("channel:fickle"));
  });

  test("a handle that comes later hears that the room is joined", async () => {
    const ana = client("ana");
    const first = ana.join("channel:later");
    await until(() => first.joined);
    let joined: Joined | undefined;
    ana.join("channel:later").onJoined((got) => (joined = got));
    await until(() => joined);
    expect(joined).toMatchObject({ first: true, missed: 0, position: first.position });
  });
});

describe("presence", () => {
  test("who is there is known from the first, and follows", async () => {
    const ana = client("ana", { name: "Ana" }).join("community:town");
    await until(() => ana.joined);
    const bobs = client("bob");
    const bob = bobs.join("community:town");
    await until(() => bob.present.size === 2 && ana.present.size === 2);
    expect(bob.present.get("ana")).toMatchObject({ userId: "ana", name: "Ana", status: "online" });
    await bob.presence("away", { until: "noon" });
    await until(() => ana.present.get("bob")?.status === "away");
    expect(ana.present.get("bob")!.data).toEqual({ until: "noon" });
    const before = ana.present;
    bobs.close();
    await until(() => !ana.present.has("bob"));
    expect(before.has("bob")).toBe(true); // a map that was given does not change
  });

  test("of two devices the one that set the status last has set it, whichever reconnects", async () => {
    const [phoneNet, deskNet] = [network(), network()];
    const watcher = client("ana").join("community:devices");
    const [phone, desk] = [client("bob", { WebSocket: phoneNet.WebSocket }), client("bob", { WebSocket: deskNet.WebSocket })];
    const [a, b] = [phone.join("community:devices"), desk.join("community:devices")];
    const status = () => watcher.present.get("bob")?.status;
    await until(() => a.joined && b.joined && watcher.joined);
    await a.presence("busy");
    await until(() => b.present.get("bob")?.status === "busy" && status() === "busy");
    await b.presence("online");
    await until(() => a.present.get("bob")?.status === "online" && status() === "online");
    const heard: unknown[] = [];
    watcher.on("presence:changed", ({ data }) => heard.push(data.status));
    for (const net of [phoneNet, deskNet]) {
      net.cut();
      net.mend();
      await until(() => a.joined && b.joined && phone.status === "open" && desk.status === "open");
    }
    await a.presence("away"); // heard after whatever was set before
    await until(() => heard.length > 0);
    expect(heard).toEqual(["away"]);
    // Set while the other is away for a moment: it does not bring its own back.
    deskNet.cut();
    await a.presence("lunch");
    deskNet.mend();
    await until(() => desk.status === "open" && b.joined);
    await a.presence("back");
    await until(() => heard.includes("back"));
    expect(heard).toEqual(["away", "lunch", "back"]);
  });

  test("a status is kept over an absence that is longer than the grace", async () => {
    const net = network();
    const watcher = client("ana").join("community:kept");
    const bob = client("bob", { WebSocket: net.WebSocket });
    const room = bob.join("community:kept");
    await until(() => room.joined && watcher.joined);
    await bob.presence("busy");
    net.cut();
    await until(() => !watcher.present.has("bob"));
    net.mend();
    await until(() => watcher.present.get("bob")?.status === "busy");
  });

  test("a status is not kept that was set over on another device before the absence", async () => {
    const [phoneNet, deskNet] = [network(), network()];
    const watcher = client("ana").join("community:over");
    const [a, b] = [phoneNet, deskNet].map((net) => client("bob", { WebSocket: net.WebSocket }).join("community:over")) as [Room, Room];
    await until(() => a.joined && b.joined && watcher.joined);
    await a.presence("busy");
    await until(() => b.present.get("bob")?.status === "busy");
    await b.presence("lunch");
    await until(() => a.present.get("bob")?.status === "lunch");
    phoneNet.cut();
    deskNet.cut();
    await until(() => !watcher.present.has("bob"));
    const heard: unknown[] = [];
    watcher.on("presence:changed", ({ data }) => heard.push(data.status));
    phoneNet.mend();
    await until(() => a.joined && watcher.present.has("bob"));
    await a.presence("back"); // heard after whatever was set before
    await until(() => heard.includes("back"));
    expect(heard).toEqual(["back"]);
  });
});
