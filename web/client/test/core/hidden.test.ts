import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import type { Client, RoomEvent } from "../../src/index.js";
import { startBellhop, until } from "../emulator.js";
import { Wire, answer, event, joined, ok, pass, refusal, type Sent } from "../wire.js";

/** What a browser tells of a page. */
class Page extends EventTarget {
  visibilityState = "visible";

  show(state: "visible" | "hidden"): void {
    this.visibilityState = state;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}

let page: Page;
const clients: Client[] = [];
const kept = <T extends Client>(client: T): T => (clients.push(client), client);
beforeEach(() => {
  page = new Page();
  vi.stubGlobal("document", page);
  vi.stubGlobal("addEventListener", () => {});
  vi.stubGlobal("removeEventListener", () => {});
});
afterEach(() => {
  clients.splice(0).forEach((client) => client.close());
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("nothing is pushed to a hidden page but its user's own room; shown again it has everything, once and in order", async () => {
  const bellhop = await startBellhop("--parameter", "PresenceGrace=1s");
  try {
    let pushed: string[] = [];
    class Listening extends WebSocket {
      constructor(...args: ConstructorParameters<typeof WebSocket>) {
        super(...args);
        this.on("message", (data) => pushed.push(String(data)));
      }
    }
    const ana = kept(bellhop.connect("ana", { pauseHidden: 20, WebSocket: Listening }));
    const heard: RoomEvent[] = [];
    const [channel, community, own] = ["channel:1", "community:1", "user:ana"].map((name) => ana.join(name));
    for (const room of [channel!, community!, own!]) room.onAny((each) => heard.push(each));
    const say = (content: string) => bellhop.emit({ command: "publish", rooms: ["channel:1"], event: "message:new", data: { content } });
    const told = (title: string) => bellhop.emit({ command: "publish", rooms: ["user:ana"], event: "notification:new", data: { title } });
    const bob = kept(bellhop.connect("bob"));
    const bobs = bob.join("community:1");
    await until(() => channel!.joined && community!.joined && own!.joined && community!.present.has("bob"));

    page.show("hidden");
    await until(() => pushed.some((frame) => frame.includes(`"rooms":["channel:1","community:1"]`)));
    pushed = [];
    for (let n = 0; n < 20; n++) await say(`${n}`);
    const cara = kept(bellhop.connect("cara")).join("community:1");
    await until(() => cara.joined);
    expect(cara.present.has("ana")).toBe(true); // who looks away is there all the same
    bobs.leave();
    await until(() => !cara.present.has("bob"));
    await told("for you");
    await until(() => heard.some((each) => each.event === "notification:new"));
    expect(pushed).toHaveLength(1);
    expect([...community!.present.keys()].toSorted()).toEqual(["ana", "bob"]);

    page.show("visible");
    await until(() => heard.filter((each) => each.event === "message:new").length === 20 && !community!.present.has("bob"));
    expect([...community!.present.keys()].toSorted()).toEqual(["ana", "cara"]);
    await say("20");
    await until(() => heard.filter((each) => each.event === "message:new").length > 20);
    expect(heard.filter((each) => each.event === "message:new").map(({ data }) => (data as { content: string }).content)).toEqual(
      Array.from({ length: 21 }, (_, n) => `${n}`),
    );
  } finally {
    await bellhop.end();
  }
});

describe("when it pauses and resumes", () => {
  const names = Array.from({ length: 30 }, (_, n) => `channel:${n + 1}`);
  const many = (frame: Sent) => {
    if (frame.action === "pause") return ok({ rooms: names });
    const answers = (frame.rooms ?? [{ room: frame.room! }]).map(({ room }) => joined(room, { seq: 5, recovered: true }));
    if (frame.action === "join") return ok(frame.rooms ? { rooms: answers } : answers[0]!);
    return answer(frame);
  };
  beforeEach(() => void vi.useFakeTimers());

  async function start(wire: Wire, pauseHidden?: number) {
    const client = kept(wire.connect(pauseHidden === undefined ? {} : { pauseHidden }));
    const rooms = names.map((name) => client.join(name));
    await pass(1);
    wire.sent.length = 0;
    return rooms;
  }
  const actions = (wire: Wire) => wire.sent.map(({ action }) => action).filter((action) => action !== "ping");

  test("not unless it is told to", async () => {
    const wire = new Wire(many);
    await start(wire);
    page.show("hidden");
    await pass(300);
    expect(actions(wire)).toEqual([]);
  });

  test("after a look at another tab nothing is sent; after a longer one a pause, and one join of all rooms", async () => {
    const wire = new Wire(many);
    await start(wire, 60_000);
    page.show("hidden");
    await pass(59);
    page.show("visible");
    await pass(120);
    expect(actions(wire)).toEqual([]);
    page.show("hidden");
    await pass(61);
    expect(actions(wire)).toEqual(["pause"]);
    page.show("visible");
    await pass(1);
    expect(actions(wire)).toEqual(["pause", "join"]);
    expect(wire.named("join")[0]!.rooms).toEqual(names.map((room) => ({ room, since: { epoch: "e", seq: 5 } })));
  });

  test("a page that is shown before the pause is answered joins after the answer, since either could be done last", async () => {
    const wire = new Wire(many);
    await start(wire, 60_000);
    page.show("hidden");
    await pass(60);
    page.show("visible");
    await pass(0.01);
    expect(actions(wire)).toEqual(["pause"]);
    await pass(1);
    expect(actions(wire)).toEqual(["pause", "join"]);
  });

  test("a join that is under way when the page is shown is done again, since it may have been before the pause", async () => {
    let hold = false;
    const wire = new Wire((frame) => (hold && frame.action === "join" ? null : many(frame)));
    const [room] = await start(wire, 60_000);
    page.show("hidden");
    await pass(59);
    hold = true;
    wire.push(event(7)); // without 6: it is asked for
    await pass(0.5);
    const [asked] = wire.named("join");
    await pass(1);
    page.show("visible");
    hold = false;
    wire.push({ reply: asked!.id, ok: true, data: joined("channel:1", { seq: 7, recovered: true, events: [event(6), event(7)] }) });
    await pass(1);
    expect(wire.named("join").filter((frame) => (frame.rooms ?? [frame]).some((each) => each.room === "channel:1"))).toHaveLength(2);
    expect(room!.joined).toBe(true);
  });

  test("what is pushed of a paused room by a broadcast that had begun before is not a gap to ask about", async () => {
    const wire = new Wire(many);
    await start(wire, 60_000);
    page.show("hidden");
    await pass(61);
    wire.push(event(7)); // 6 was not pushed any more
    await pass(30);
    expect(actions(wire)).toEqual(["pause"]);
  });

  test("a pause that is not answered may be done at any time: there is a new connection, and a pause on that", async () => {
    let silent = true;
    const wire = new Wire((frame) => (silent && frame.action === "pause" ? null : many(frame)));
    await start(wire, 60_000);
    page.show("hidden");
    await pass(80);
    expect(wire.tokens).toHaveLength(2);
    silent = false;
    await pass(60);
    expect(wire.named("pause").map(({ on }) => on)).toEqual([1, 2]);
  });

  test("a server that knows no pauses goes on pushing, and gaps are asked about", async () => {
    const wire = new Wire((frame) => (frame.action === "pause" ? refusal("unknown_action") : many(frame)));
    const [room] = await start(wire, 60_000);
    page.show("hidden");
    await pass(61);
    wire.push(event(7));
    await pass(5);
    expect(wire.named("join").length).toBeGreaterThan(0);
    page.show("visible");
    await pass(1);
    expect(room!.joined).toBe(true);
  });

  test("what a hidden page asks for is no use of it: it sends no more pings than the gateway's clock wants", async () => {
    const wire = new Wire(many);
    await start(wire, 60_000);
    await pass(60); // the silence after the joins is asked about
    wire.sent.length = 0;
    page.show("hidden");
    await pass(61);
    expect(wire.sent.map(({ action }) => action)).toEqual(["pause"]);
    await pass(8 * 60);
    expect(wire.named("ping")).toHaveLength(0);
    await pass(2 * 60);
    expect(wire.named("ping")).toHaveLength(1);
    page.show("visible");
    await pass(60);
    expect(wire.named("ping").length).toBeGreaterThan(1); // somebody looks, so that a silence is found out about
  });

  test("a connection that is lost while the page is hidden takes up everything, and is paused in its turn", async () => {
    const wire = new Wire(many);
    const [room] = await start(wire, 60_000);
    page.show("hidden");
    await pass(61);
    wire.cut();
    await pass(10);
    expect(room!.joined).toBe(true);
    await pass(60);
    expect(wire.named("pause").map(({ on }) => on)).toEqual([1, 2]);
    page.show("visible");
    await pass(1);
    expect(wire.sent.at(-1)).toMatchObject({ action: "join", on: 2 });
  });

  test("nothing is left that runs", async () => {
    const wire = new Wire(many);
    await start(wire, 60_000);
    page.show("hidden");
    clients.splice(0).forEach((client) => client.close());
    expect(vi.getTimerCount()).toBe(0);
  });
});
