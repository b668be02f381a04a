import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Liveness } from "../../src/liveness.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const second = 1_000, minute = 60 * second;

/** A connection to a server that answers, until it goes silent. */
function world({ free }: { free?: "answered" | "ignored" } = {}) {
  const start = Date.now();
  const seen = { pings: [] as number[], probes: 0, dead: null as number | null, silent: false };
  const now = () => (Date.now() - start) / 1_000;
  const liveness = new Liveness(
    () => {
      seen.pings.push(now());
      if (!seen.silent) setTimeout(() => liveness.received(true), 50);
      return true;
    },
    () => {
      seen.dead ??= now();
      liveness.stop();
    },
  );
  const probe = (pong: () => void) => {
    seen.probes++;
    if (free === "answered" && !seen.silent) setTimeout(pong, 50);
  };
  liveness.start(free && probe);
  return { liveness, seen, now };
}

describe("an answer that does not come", () => {
  test("is asked about after five seconds, and the connection is given up after ten", () => {
    const { liveness, seen } = world();
    seen.silent = true;
    liveness.asked();
    vi.advanceTimersByTime(minute);
    expect(seen).toMatchObject({ pings: [5], dead: 10 });
  });

  test("is asked about even if events come: half of a connection may be dead", () => {
    const { liveness, seen } = world();
    seen.silent = true;
    liveness.asked();
    for (let n = 0; n < 20; n++) {
      vi.advanceTimersByTime(second);
      liveness.received(false);
    }
    expect(seen).toMatchObject({ pings: [5], dead: 10 });
  });

  test("is not hidden by what is sent after it", () => {
    const { liveness, seen } = world();
    seen.silent = true;
    for (let n = 0; n < 15; n++) {
      liveness.asked();
      vi.advanceTimersByTime(second);
    }
    expect(seen.dead).toBe(10);
  });

  test("costs one ping where the server is just slow", () => {
    const { liveness, seen } = world();
    liveness.asked();
    vi.advanceTimersByTime(8 * second);
    liveness.received(true);
    vi.advanceTimersByTime(20 * second);
    expect(seen).toMatchObject({ pings: [5], dead: null });
  });
});

describe("silence", () => {
  test("soon after a connection was used is found out about within 45 s", () => {
    const { liveness, seen } = world();
    liveness.asked();
    liveness.received(true);
    seen.silent = true;
    vi.advanceTimersByTime(minute);
    expect(seen.dead).toBe(45);
  });

  test("on a page that is used again is found out about five seconds later, however long it was", () => {
    const { liveness, seen, now } = world();
    vi.advanceTimersByTime(5 * minute);
    seen.silent = true;
    const used = now();
    for (let n = 0; n < 100; n++) {
      liveness.look();
      vi.advanceTimersByTime(100);
    }
    expect(seen).toMatchObject({ pings: [used], dead: used + 5 });
  });

  test("that nobody notices is found out about in ten minutes", () => {
    const { seen } = world();
    seen.silent = true;
    vi.advanceTimersByTime(20 * minute);
    expect(seen.dead).toBe(9 * 60 + 5);
  });

  test("of a clock that was put back is found out about all the same", () => {
    const { seen } = world();
    vi.setSystemTime(Date.now() - 5 * 60 * minute);
    seen.silent = true;
    vi.advanceTimersByTime(20 * minute);
    expect(seen.dead).not.toBeNull();
  });

  test("is asked about for nothing where pings cost nothing, and then with one that costs", () => {
    const { seen, now } = world({ free: "answered" });
    vi.advanceTimersByTime(8 * minute);
    expect(seen).toMatchObject({ pings: [], dead: null });
    expect(seen.probes).toBeGreaterThan(10);
    seen.silent = true;
    const since = now();
    vi.advanceTimersByTime(2 * minute);
    expect(seen.pings).toHaveLength(1);
    expect(seen.dead! - since).toBeLessThanOrEqual(45);
  });

  test("is asked about by pings that cost where the gateway ignores the others", () => {
    const { seen } = world({ free: "ignored" });
    vi.advanceTimersByTime(60 * minute);
    expect(seen).toMatchObject({ probes: 1, dead: null });
    expect(seen.pings).toHaveLength(7);
  });
});

// What a ping and its pong cost: two messages. Before, there was one after nine minutes in which nothing was sent or received,
// and one each time that a page was looked at.
describe("pings when all is well, in an hour", () => {
  test("while people talk: none", () => {
    const { liveness, seen } = world();
    for (let n = 0; n < 120; n++) {
      liveness.asked();
      vi.advanceTimersByTime(200);
      liveness.received(true);
      vi.advanceTimersByTime(30 * second - 200);
    }
    expect(seen.pings).toEqual([]);
  });

  test("while one only listens to a room in which something happens: none", () => {
    const { liveness, seen } = world();
    for (let n = 0; n < 30; n++) {
      vi.advanceTimersByTime(2 * minute);
      liveness.received(false);
    }
    expect(seen.pings).toEqual([]);
  });

  test("while nothing happens: six, as before, so that the gateway keeps the connection", () => {
    const { seen } = world();
    vi.advanceTimersByTime(60 * minute);
    expect(seen.pings).toHaveLength(6);
  });

  test("while nothing happens after something was said: one more", () => {
    const { liveness, seen } = world();
    liveness.asked();
    liveness.received(true);
    vi.advanceTimersByTime(60 * minute);
    expect(seen.pings).toHaveLength(7);
    expect(seen.pings[0]).toBe(40);
  });

  test("while a page is looked at every 20 s: 89 instead of 180, since silence is what is asked about", () => {
    const { liveness, seen } = world();
    for (let n = 0; n < 180; n++) {
      liveness.look();
      vi.advanceTimersByTime(20 * second);
    }
    expect(seen.pings).toHaveLength(89);
  });
});
