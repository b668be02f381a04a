import type { CheckIn, Goal, RoomEvent } from "../types.js";
import { LogStore, PAGE } from "./log.js";
import type { SocketError } from "./room.js";
import type { Session } from "./session.js";

/** What a buddy did: the fields that were sent, and where they come from. */
export type BuddyActivity<D> = D & {
  readonly id: string;
  /** Unix time in milliseconds. */
  readonly ts: number;
  /** The buddy; undefined if the program that sent it has not said. */
  readonly userId?: string;
  readonly userName?: string;
  /** All that was sent. */
  readonly data: D;
};

/** The activity of a user's buddies as of now, newest first, at most 100 of each. */
export interface BuddyState {
  readonly goals: readonly BuddyActivity<Goal>[];
  readonly checkIns: readonly BuddyActivity<CheckIn>[];
  readonly isConnected: boolean;
  readonly isLoading: boolean;
  /** Why the user's room cannot be joined, or what has failed last. */
  readonly error: SocketError | null;
}

type Item = { kind: "goal"; activity: BuddyActivity<Goal> } | { kind: "checkIn"; activity: BuddyActivity<CheckIn> };

const initial: BuddyState = { goals: [], checkIns: [], isConnected: false, isLoading: true, error: null };
const MOST = 100;

/** The goal completions and check-ins in the log of the user's own room. */
export class BuddyStore extends LogStore<Item, BuddyState> {
  static readonly key = (userId: string): string => `buddies ${userId}`;

  #from: readonly Item[] = [];
  #shown: Pick<BuddyState, "goals" | "checkIns"> = initial;

  constructor(session: Session | null, userId: string) {
    super(session, `user:${userId}`, BuddyStore.key(userId), initial, { page: PAGE, pages: 25, enough: MOST, keep: 2 * MOST });
  }

  protected override read(event: RoomEvent): void {
    const { id, seq } = event;
    if (id === undefined) return;
    if (event.event === "buddy:goal-completed") this.put(id, { kind: "goal", activity: activityOf<Goal>(event, id) }, seq ?? Infinity);
    if (event.event === "buddy:check-in") this.put(id, { kind: "checkIn", activity: activityOf<CheckIn>(event, id) }, seq ?? Infinity);
  }

  protected override wanted({ event }: RoomEvent): boolean {
    return event === "buddy:goal-completed" || event === "buddy:check-in";
  }

  protected override snapshot(): BuddyState {
    const items = this.items();
    if (items !== this.#from) {
      this.#from = items;
      const newest = [...items].reverse();
      const goals = newest.flatMap((item) => (item.kind === "goal" ? [item.activity] : [])).slice(0, MOST);
      const checkIns = newest.flatMap((item) => (item.kind === "checkIn" ? [item.activity] : [])).slice(0, MOST);
      this.#shown = { goals, checkIns };
    }
    return { ...this.#shown, isConnected: this.isConnected, isLoading: this.isLoading, error: this.error };
  }
}

function activityOf<D extends object>({ ts, from, data }: RoomEvent, id: string): BuddyActivity<D> {
  const sent = (data ?? {}) as D;
  const who = from && { userId: from.userId, ...(from.name !== undefined && { userName: from.name }) };
  return { ...sent, ...who, id, ts: ts ?? Date.now(), data: sent };
}
