import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BellhopError } from "../../src/error.js";
import { next, type Reason, type State } from "../../src/membership.js";
import { SharedRoom, type Holder, type Line } from "../../src/room.js";
import type { JoinResult } from "../../src/types.js";
import { random } from "../random.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a join and a leave are never both under way", () => {
  const reasons: Reason[] = [
    "wanted", "unwanted", "entered", "answered", "outlived", "spared", "failed", "resumed", "refused", "missing", "expelled", "closed", "disconnected",
  ];
  const answers: Reason[] = ["answered", "outlived", "spared", "failed", "refused", "closed", "disconnected"];
  for (const state of ["joining", "filling", "leaving"] satisfies State[]) {
    for (const reason of reasons.filter((one) => !answers.includes(one))) expect(next(state, reason), `${state}, ${reason}`).toBeUndefined();
  }
  expect(next("leaving", "closed")).toBeUndefined(); // the leave is under way all the same
});

/** A server that answers each frame when, and how, chance says; and a network that is cut now and then. */
class World implements Line {
  open = true;
  readonly userId = "ana";
  readonly paused = false;
  readonly wish = null;
  /** What the server holds. */
  member = false;
  underWay: { action: string; settle(how: "ok" | "lost" | BellhopError): void }[] = [];
  restarts = 0;
  room: SharedRoom;

  constructor() {
    this.room = new SharedRoom(this, "channel:1", null);
  }

  joinRoom(): Promise<JoinResult | null> {
    return this.#ask<JoinResult>("join");
  }

  leaveRoom(): Promise<unknown> {
    return this.#ask("leave");
  }

  #ask<T>(action: string): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const one = {
        action,
        settle: (how: "ok" | "lost" | BellhopError) => {
          this.underWay = this.underWay.filter((each) => each !== one);
          if (how instanceof BellhopError) {
            if (how.code === "forbidden") this.member = false; // whoever may not join is no member
            return reject(how);
          }
          this.member = action === "join";
          if (how === "lost") reject(new BellhopError("timeout", "Lost.", { retry: true }));
          else resolve({ room: "channel:1", epoch: "e", seq: 0, recovered: false, events: [] } as T);
        },
      };
      this.underWay.push(one);
      expect(this.underWay.length, "frames of one room under way").toBe(1);
    });
  }

  persist<T>(): Promise<T> {
    return new Promise<T>(() => {});
  }

  endCalls(): void {}
  changed(): void {}

  restart(): void {
    this.restarts++;
    this.cut();
  }

  cut(): void {
    this.open = this.member = false;
    for (const { settle } of [...this.underWay]) settle(new BellhopError("disconnected", "Cut.", { retry: true }));
    this.room.disconnected();
  }

  mend(): void {
    this.open = true;
    this.room.tend();
  }
}

test("whatever the server and the network do, a room ends where its holders want it, one frame at a time", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const chance = random(seed);
    const world = new World();
    const holders = new Set<Holder>();
    for (let step = 0; step < 120; step++) {
      const what = chance();
      const holder: Holder = { emit: () => {}, end: () => {} };
      if (what < 0.15) {
        holders.add(holder);
        world.room.enter(holder);
      } else if (what < 0.35) {
        const [first] = holders;
        if (first && holders.delete(first)) world.room.exit(first);
      } else if (what < 0.75) {
        const how = chance();
        const forbidden = how > 0.85 && world.underWay[0]?.action === "join";
        const refusal = forbidden ? new BellhopError("forbidden", "No.") : new BellhopError("unavailable", "Later.", { retry: true });
        world.underWay[0]?.settle(how < 0.6 ? "ok" : how < 0.7 ? "lost" : refusal);
      } else if (what < 0.85) {
        await vi.advanceTimersByTimeAsync(chance() * 3_000);
      } else if (what < 0.9) {
        world.cut();
      } else if (!world.open) {
        world.mend();
      } else {
        world.room.expelled();
      }
      await vi.advanceTimersByTimeAsync(0);
    }
    const holder: Holder = { emit: () => {}, end: () => {} }; // who has better luck, should all before have been refused
    if (holders.size > 0) world.room.enter(holder);
    if (!world.open) world.mend();
    for (let i = 0; i < 20; i++) {
      world.underWay[0]?.settle("ok");
      await vi.advanceTimersByTimeAsync(15_000);
    }
    expect([world.room.joined, world.member], `seed ${seed}`).toEqual([holders.size > 0, holders.size > 0]);
    expect(world.room.over, `seed ${seed}`).toBe(holders.size === 0);
  }
});

test("a join that is not answered is given up with its connection, since it may still be done", async () => {
  const world = new World();
  world.room.enter({ emit: () => {}, end: () => {} });
  world.underWay[0]!.settle("lost");
  await vi.advanceTimersByTimeAsync(0);
  expect(world.restarts).toBe(1);
  expect(world.underWay).toEqual([]);
  world.mend();
  expect(world.underWay.map(({ action }) => action)).toEqual(["join"]);
});
