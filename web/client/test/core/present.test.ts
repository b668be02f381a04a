import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Client, Room } from "../../src/index.js";
import type { Occupant } from "../../src/types.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";
import { answer, joined, ok, pass, Wire, type Sent } from "../wire.js";

const room = "community:1";
const user = (userId: string, since = 1, version = 1): Occupant => ({ userId, status: "online", since, version });
const names = (one: Room) => [...one.present.keys()].sort().join(" ");

describe("a list of who is present that does not fit a reply", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  /** A server that gives them two at a time, and a client in the room. */
  function world(users: string[]) {
    const server = { users: users.map((name) => user(name)), seq: 0, silent: false, anew: false };
    const page = (after: string) => {
      const rest = server.users.filter(({ userId }) => userId > after);
      return { presence: rest.slice(0, 2), more: rest.length > 2 };
    };
    const wire = new Wire((frame: Sent) => {
      if (frame.rooms || frame.action === "ping") return answer(frame);
      if (frame.action === "join") {
        const { presence, more } = page("");
        return ok(joined(room, { seq: server.seq, recovered: frame.since !== undefined && !server.anew, presence, ...(more && { presenceMore: true }) }));
      }
      if (server.silent) return null;
      return frame.action === "presence" ? ok({ room, ...page(String(frame.after)) }) : answer(frame);
    });
    const client = wire.connect();
    const one = client.join(room);
    const tell = (event: string, { userId, since }: Occupant) => {
      const seq = ++server.seq;
      const id = event === "user:offline" ? `offline:${userId}:${since}` : `online:${userId}:${since}`;
      wire.push({ event, room, seq, id, ts: 1, from: { userId }, data: event === "user:offline" ? { userId, since } : user(userId, since) });
    };
    const leave = (name: string) => {
      const gone = server.users.find(({ userId }) => userId === name)!;
      server.users = server.users.filter((each) => each !== gone);
      tell("user:offline", gone);
    };
    return { server, wire, client, one, tell, leave };
  }

  test("is asked for page by page until all are there", async () => {
    const { wire, client, one } = world(["a", "b", "c", "d", "e"]);
    await pass(2);
    expect(names(one)).toBe("a b c d e");
    expect(wire.named("presence").map(({ after }) => after)).toEqual(["b", "d"]);
    client.close();
  });

  test("has nobody who left while it was read, and everybody who came", async () => {
    const { wire, server, client, one, tell, leave } = world(["a", "b", "c", "d", "e"]);
    await vi.waitUntil(() => wire.named("presence").length === 1);
    // The page is on its way, as it was; what is told now comes before it.
    leave("c");
    server.users.push(user("f"));
    tell("user:online", user("f"));
    await pass(2);
    expect(names(one)).toBe("a b d e f");
    client.close();
  });

  test("does not empty the one that is shown: after a cut, who has gone is there until the last page", async () => {
    const { wire, server, client, one } = world(["a", "b", "c", "d", "e"]);
    await pass(2);
    wire.cut();
    server.users = [user("b", 2), user("d"), user("e"), user("g")]; // missed, and too much to be told
    const seen: string[] = [];
    one.onChange(() => seen.push(names(one)));
    await pass(10);
    expect(names(one)).toBe("b d e g");
    expect(seen.every((all) => all.includes("d") && all.includes("e"))).toBe(true);
    client.close();
  });

  test("is not completed by what came before a cut: the log may have begun anew, and its places mean nothing then", async () => {
    const { server, wire, client, one, tell } = world(["a", "b", "c"]);
    Object.assign(server, { seq: 8, silent: true }); // the second page does not come
    await pass(1);
    tell("user:online", user("z", 5));
    expect(names(one)).toBe("a b z");
    wire.cut();
    Object.assign(server, { users: [user("a")], seq: 3, silent: false, anew: true });
    await pass(3);
    expect([one.joined, names(one)]).toEqual([true, "a"]);
    client.close();
  });

  test("is begun anew by the next join where a page did not come", async () => {
    const { wire, server, client, one } = world(["a", "b", "c", "d", "e"]);
    server.silent = true;
    await pass(3);
    expect(names(one)).toBe("a b");
    wire.cut();
    server.silent = false;
    await pass(60);
    expect(names(one)).toBe("a b c d e");
    client.close();
  });
});

test("who knows who is present asks for no list by the same connection, and hears of those who came by what was missed", async () => {
  vi.useFakeTimers();
  const online = (userId: string, seq: number) => ({ event: "user:online", room, seq, id: `online:${userId}:${seq}`, ts: 1, from: { userId }, data: user(userId) });
  const wire = new Wire((frame: Sent) => {
    if (frame.action !== "join") return answer(frame);
    if (!frame.listed) return ok(joined(room, { seq: 1, recovered: false, presence: [user("a")] }));
    return ok(joined(room, { seq: 3, recovered: true, events: [online("b", 2), online("c", 3)] }));
  });
  const client = wire.connect();
  const one = client.join(room);
  await pass(1);
  wire.push(online("c", 3)); // the one before it is missing
  await pass(2);
  expect(names(one)).toBe("a b c");
  wire.cut(); // who went away meanwhile and was not told of, is not in the next list
  await pass(2);
  expect(names(one)).toBe("a");
  expect(wire.named("join").map(({ listed }) => listed)).toEqual([undefined, true, undefined]);
  client.close();
  vi.useRealTimers();
});

describe("in a room of 120 users with much to say", () => {
  let bellhop: Bellhop;
  const clients: Client[] = [];
  const kinds = { user: { owner: true, keep: "1h" }, community: { presence: true, keep: "1h", lazy: "0s" } }; // who comes is told at once
  beforeAll(async () => void (bellhop = await startBellhop("--parameter", `RoomKinds=${JSON.stringify(kinds)}`)));
  afterAll(() => {
    clients.forEach((one) => one.close());
    bellhop.end();
  });

  test("everybody sees everybody", async () => {
    const rooms = Array.from({ length: 120 }, (_, i) => {
      const one = bellhop.connect(`user${String(i).padStart(3, "0")}`);
      clients.push(one);
      return one.join("community:full");
    });
    await Promise.all(rooms.map((one) => one.presence("busy", { text: "x".repeat(700) })));
    const late = bellhop.connect("zoe");
    clients.push(late);
    const zoe = late.join("community:full");
    await until(() => zoe.present.size === 121 && rooms.every((one) => one.present.size === 121));
    expect(zoe.present.get("user119")?.data).toEqual({ text: "x".repeat(700) });
  });
});
