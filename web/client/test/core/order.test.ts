import { expect, test } from "vitest";
import { Order, type Logged } from "../../src/order.js";
import { Presence } from "../../src/presence.js";
import type { JoinResult, LoggedEvent, Occupant, RoomEvent } from "../../src/types.js";
import { random } from "../random.js";

const event = (seq: number): Logged => ({ event: "message:new", room: "channel:1", seq, id: `m${seq}`, ts: seq, data: { content: `${seq}` } });

test("whatever is late, doubled, lost or cut, each event is handed on once and in order", () => {
  for (let seed = 1; seed <= 500; seed++) {
    const chance = random(seed);
    const log = new Map<number, Logged>(); // with holes, as crashed writers leave them
    let head = 0;
    const heard: number[] = [];
    const order = new Order({ epoch: "e", seq: 0 }, ({ seq }) => heard.push(seq));
    let wire: Logged[] = [];
    const join = () => {
      const from = order.position!.seq;
      const page = [...log.values()].filter(({ seq }) => seq > from).slice(0, 1 + Math.floor(chance() * 10));
      const rest = [...log.keys()].some((seq) => seq > (page.at(-1)?.seq ?? from));
      const result: JoinResult = { room: "channel:1", epoch: "e", seq: rest ? (page.at(-1)?.seq ?? from) : head, recovered: true, more: rest, events: page as LoggedEvent[] };
      order.joined(result);
      return rest;
    };
    while (join());
    for (let step = 0; step < 200; step++) {
      const what = chance();
      if (what < 0.4) {
        head++;
        if (chance() < 0.95) {
          log.set(head, event(head));
          if (chance() < 0.9) wire.push(event(head));
          if (chance() < 0.2) wire.push(event(head));
        }
      } else if (what < 0.9) {
        const [one] = wire.splice(Math.floor(chance() * wire.length), 1);
        if (one) order.push(one);
      } else if (what < 0.95) {
        if (order.gap) while (join());
      } else {
        order.disconnected();
        wire = wire.filter(() => chance() < 0.5);
        if (wire[0]) order.push(wire[0]); // before the reply to the join
        while (join());
      }
    }
    while (join());
    expect(heard, `seed ${seed}`).toEqual([...log.keys()]);
    expect(order.gap, `seed ${seed}`).toBe(false);
  }
});

test("a join that is not recovered begins anew, and keeps what was pushed after its position", () => {
  const heard: number[] = [];
  const order = new Order({ epoch: "old", seq: 7 }, ({ seq }) => heard.push(seq));
  order.push(event(3));
  order.push(event(2));
  order.joined({ room: "channel:1", epoch: "new", seq: 2, recovered: false, events: [] });
  expect(heard).toEqual([3]);
  expect(order.position).toEqual({ epoch: "new", seq: 3 });
});

test("what is held is bounded, and what is dropped for it can come again", () => {
  const heard: number[] = [];
  const order = new Order(null, ({ seq }) => heard.push(seq));
  order.joined({ room: "channel:1", epoch: "e", seq: 0, recovered: false, events: [] });
  for (let seq = 2; seq <= 2_000; seq++) order.push(event(seq));
  expect(heard).toEqual([]);
  order.push(event(1));
  expect(order.position!.seq).toBeLessThanOrEqual(501);
  for (let seq = order.position!.seq + 1; seq <= 2_000; seq++) order.push(event(seq));
  expect(heard).toEqual(Array.from({ length: 2_000 }, (_, n) => n + 1));
});

const ana = (status: string, since: number, version: number): Occupant => ({ userId: "ana", status, since, version });
const change = (name: string, data: unknown, seq: number, id = ""): RoomEvent => ({ event: name, room: "community:1", seq, id, data });

test("of two changes the newer holds, in whatever order they are logged", () => {
  const presence = new Presence();
  presence.apply(change("user:online", ana("online", 5, 1), 1));
  presence.apply(change("presence:changed", ana("busy", 5, 3), 2));
  presence.apply(change("presence:changed", ana("away", 5, 2), 3));
  expect(presence.users.get("ana")).toMatchObject({ status: "busy", version: 3 });
});

test("an end is of the presence that it names, and a change of one that is over shows nobody", () => {
  const presence = new Presence();
  presence.snapshot([ana("online", 9, 1)], 4);
  presence.apply(change("user:offline", { userId: "ana" }, 5, "offline:ana:5"));
  expect(presence.users.has("ana")).toBe(true);
  presence.apply(change("user:offline", { userId: "ana" }, 6, "offline:ana:9"));
  presence.apply(change("presence:changed", ana("away", 9, 2), 7));
  expect(presence.users.size).toBe(0);
});

test("a snapshot that is older than what was pushed meanwhile does not take it back", () => {
  const presence = new Presence();
  presence.expect();
  presence.apply(change("user:online", { ...ana("online", 5, 1), userId: "bob" }, 8));
  presence.snapshot([ana("online", 3, 1)], 7);
  expect([...presence.users.keys()]).toEqual(["ana", "bob"]);
});

test("what a program says of somebody is believed", () => {
  const presence = new Presence();
  presence.apply(change("presence:changed", { userId: "bot", status: "busy" }, 1));
  expect(presence.users.get("bot")).toMatchObject({ userId: "bot", status: "busy" });
});
