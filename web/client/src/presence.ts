import type { From, Occupant, RoomEvent } from "./types.js";

/**
 * Who is present in a room, by its snapshots and events. Changes that were made at the same moment may be logged in the
 * other order, and events may be older than a snapshot: `since` and `version` say which is the newer.
 */
export class Presence {
  #users: ReadonlyMap<string, Occupant> = new Map();
  #recent: RoomEvent[] | null = null; // since the join was sent whose snapshot is awaited

  get users(): ReadonlyMap<string, Occupant> {
    return this.#users;
  }

  /** A join is sent: its snapshot may be older than what is pushed from now on. */
  expect(): void {
    this.#recent = [];
  }

  /** Takes in a snapshot, and again the events that came meanwhile and are later than the log was then. */
  snapshot(users: Occupant[], seq: number): void {
    const recent = this.#recent ?? [];
    this.#recent = null;
    this.#users = new Map(users.map((user) => [user.userId, user]));
    for (const event of recent) if ((event.seq ?? 0) > seq) this.apply(event);
  }

  /** Takes in an event, and says whether it changed anything. */
  apply(event: RoomEvent): boolean {
    if (event.event !== "user:online" && event.event !== "presence:changed" && event.event !== "user:offline") return false;
    this.#recent?.push(event);
    const data = event.data as Partial<Occupant> & From;
    const userId = data?.userId ?? event.from?.userId;
    if (!userId) return false;
    const shown = this.#users.get(userId);
    const users = new Map(this.#users);
    if (event.event === "user:offline") {
      const since = Number(event.id?.split(":").at(-1)); // the id is offline:<user>:<since>
      if (!shown || since < shown.since) return false;
      users.delete(userId);
    } else {
      if (!this.#newer(data, shown, event.event)) return false;
      users.set(userId, { ...shown, ...data, userId, status: data.status ?? shown?.status ?? "online", since: data.since ?? shown?.since ?? event.ts ?? 0 });
    }
    this.#users = users;
    return true;
  }

  clear(): void {
    this.#users = new Map();
    this.#recent = null;
  }

  #newer(data: Partial<Occupant>, shown: Occupant | undefined, event: string): boolean {
    if (data.version === undefined || data.since === undefined) return true; // made up by a program, which knows best
    if (!shown) return event === "user:online"; // a change of somebody who has gone since
    return data.since > shown.since || (data.since === shown.since && data.version >= (shown.version ?? 0));
  }
}
