import type { From, Occupant, RoomEvent } from "./types.js";

/** What the pages of a snapshot have listed so far, and where the log was before the first. */
export interface Listed {
  readonly seq: number;
  readonly users: Map<string, Occupant>;
}

/**
 * Who is present in a room, by its snapshots and events. Changes that were made at the same moment may be logged in the
 * other order, and events may be older than a snapshot: `since` and `version` say which is the newer.
 */
export class Presence {
  #users: ReadonlyMap<string, Occupant> = new Map();
  #recent: RoomEvent[] | null = null; // since the join was sent whose snapshot is awaited, to its last page
  #listed: Listed | null = null; // the pages of a snapshot that goes on
  #whole = false; // all have been listed, and no event was missed since

  get users(): ReadonlyMap<string, Occupant> {
    return this.#users;
  }

  /** A join from the present position needs no snapshot, if nothing is missing. */
  get listed(): boolean {
    return this.#whole;
  }

  /** A join is sent: its snapshot may be older than what is pushed from now on. */
  expect(): void {
    if (!this.#listed) this.#recent = [];
  }

  /**
   * Takes in the snapshot of a join, and again the events that came meanwhile and are later than the log was then. With `more` it is a
   * first page: it gives what {@link page} needs for the others, null if they are on their way since a join before this one.
   * @param recovered all events have come since that join, so its pages are as good
   */
  snapshot(users: Occupant[], seq: number, more = false, recovered = false): Listed | null {
    const under = more && recovered ? this.#listed : null;
    if (!under) this.#listed = { seq, users: new Map() };
    this.page(this.#listed!, users, more);
    return under ? null : this.#listed;
  }

  /** Takes in a page of a snapshot, and says whether others are wanted. Who was shown before is, until the last one is there. */
  page(listed: Listed, users: Occupant[], more: boolean): boolean {
    if (listed !== this.#listed) return false;
    for (const user of users) listed.users.set(user.userId, user);
    const recent = this.#recent ?? [];
    this.#recent = null;
    this.#users = new Map(more ? [...this.#users, ...listed.users] : listed.users);
    for (const event of recent) if ((event.seq ?? 0) > listed.seq) this.apply(event);
    if (more) this.#recent = recent;
    else this.#listed = null;
    this.#whole = !more;
    return more;
  }

  /** The answer to the join has no snapshot: the room has none, or what is known is as good. */
  kept(): null {
    if (!this.#listed) this.#recent = null;
    return null;
  }

  /** The other pages of a snapshot do not come, or events may be missed before they do. */
  unsure(): void {
    this.#listed = this.#recent = null;
    this.#whole = false;
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
    this.unsure();
  }

  #newer(data: Partial<Occupant>, shown: Occupant | undefined, event: string): boolean {
    if (data.version === undefined || data.since === undefined) return true; // made up by a program, which knows best
    if (!shown) return event === "user:online"; // a change of somebody who has gone since
    return data.since > shown.since || (data.since === shown.since && data.version >= (shown.version ?? 0));
  }
}
