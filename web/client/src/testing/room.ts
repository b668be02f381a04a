import type { From, LoggedEvent, Occupant, Position } from "../types.js";
import type { Clock } from "./clock.js";

/** What the rooms of a kind are like, as in the parameter RoomKinds; `keep` is in milliseconds. */
export interface KindOptions {
  /** Only that user's connections are in it, and all of them. */
  owner?: boolean;
  presence?: boolean;
  keep: number;
}

/** Who is told of what happens in a room. */
export interface Member {
  readonly id: string;
  readonly user: string;
  push(event: Told): void;
}

/** An event as members are told of it. */
export interface Told {
  event: string;
  room?: string;
  seq?: number;
  [field: string]: unknown;
}

export interface Draft {
  event: string;
  id?: string | undefined;
  data?: unknown;
  from?: From | undefined;
  except?: readonly string[];
  /** Who made the id: the same one of two users, or of a program, is not the same. */
  maker?: string;
}

interface Entry {
  event: LoggedEvent;
  except: readonly string[];
  author: string | undefined;
}

interface Present extends Occupant {
  connections: Set<string>;
  /** Ends what the grace waits for. */
  stay: (() => void) | null;
}

/** An id that was taken for something else. */
export class Conflict extends Error {}

/** A room: its log, its members and who is present. */
export class Room {
  epoch: string;
  seq = 0;
  readonly members = new Set<Member>();
  readonly #present = new Map<string, Present>();
  #log: Entry[] = [];
  #floor = 1; // the first seq that the log promises
  #keys = new Map<string, { entry: Entry; sum: string }>();

  constructor(readonly name: string, readonly kind: KindOptions, private readonly clock: Clock, private readonly grace: number, private readonly newEpoch: () => string) {
    this.epoch = newEpoch();
  }

  /** Everything that the log still has. */
  get log(): LoggedEvent[] {
    this.#forget();
    return this.#log.map(({ event }) => event);
  }

  get present(): Occupant[] {
    return [...this.#present.values()].map(({ connections: _, stay: __, ...occupant }) => occupant).sort((a, b) => (a.userId < b.userId ? -1 : 1));
  }

  /** Logs an event once under its id, and tells the members. */
  append({ event, id, data, from, except = [], maker = "" }: Draft): LoggedEvent {
    const sum = JSON.stringify([event, data ?? null]);
    const key = id === undefined ? undefined : `${maker} ${id}`;
    const known = key === undefined ? undefined : this.#keys.get(key);
    if (known && known.sum !== sum) throw new Conflict(id);
    if (known) {
      this.tell({ ...known.entry.event }, known.entry.except);
      return known.entry.event;
    }
    const seq = ++this.seq;
    const logged: LoggedEvent = {
      event, room: this.name, seq, id: id ?? `${this.epoch}:${seq}`, ts: this.clock.now, ...(from && { from }), data: data as never,
    };
    if (data === undefined) delete (logged as { data?: unknown }).data;
    const entry = { event: logged, except, author: from?.userId };
    this.#log.push(entry);
    if (key !== undefined) this.#keys.set(key, { entry, sum });
    this.tell({ ...logged }, except);
    return logged;
  }

  tell(event: Told, except: readonly string[] = []): void {
    for (const member of [...this.members]) {
      if (!isLeftOut(member, except)) member.push(event);
      else if (event.seq !== undefined) member.push({ event: "room:skipped", room: this.name, seq: event.seq, ts: this.clock.now });
    }
  }

  /** What a member has missed since a position; null if the log cannot say. */
  since(position: Position | undefined, member: Member): LoggedEvent[] | null {
    this.#forget();
    if (!position || position.epoch !== this.epoch || position.seq > this.seq || position.seq + 1 < this.#floor) return null;
    return this.#log.filter(({ event, except }) => event.seq > position.seq && !isLeftOut(member, except)).map(({ event }) => event);
  }

  page(before = Infinity, limit = 50): { events: LoggedEvent[]; more: boolean } {
    const older = this.log.filter(({ seq }) => seq < (before || Infinity));
    const events = older.slice(-Math.max(1, Math.min(limit || 50, 100)));
    return { events, more: older.length > events.length };
  }

  /** Empties messages of an id, by an author if one is given, and gives them. */
  redact(id: string, author?: string): LoggedEvent[] {
    const found = this.#log.filter(({ event, author: by }) => event.event !== "message:deleted" && event.id === id && (author === undefined || by === author));
    for (const entry of found) entry.event = { ...entry.event, data: null as never };
    return found.map(({ event }) => event);
  }

  /** Begins a new log. */
  reset(): void {
    this.epoch = this.newEpoch();
    this.seq = 0;
    this.#floor = 1;
    this.#log = [];
    this.#keys.clear();
  }

  enter(member: Member, name: string | undefined): void {
    this.members.add(member);
    if (!this.kind.presence) return;
    const there = this.#present.get(member.user);
    if (there) {
      there.connections.add(member.id);
      there.stay?.();
      there.stay = null;
      return;
    }
    const since = this.clock.now;
    const occupant: Occupant = { userId: member.user, ...(name !== undefined && { name }), status: "online", since, version: 1 };
    this.#present.set(member.user, { ...occupant, connections: new Set([member.id]), stay: null });
    this.append({ event: "user:online", id: `online:${member.user}:${since}`, from: fromOf(occupant), data: occupant });
  }

  /** @param clean the user said goodbye: nobody waits for another connection */
  exit(member: Member, clean: boolean): void {
    this.members.delete(member);
    const there = this.#present.get(member.user);
    if (!there?.connections.delete(member.id) || there.connections.size > 0) return;
    const end = () => {
      this.#present.delete(member.user);
      const { userId, name, since } = there;
      this.append({ event: "user:offline", id: `offline:${userId}:${since}`, from: fromOf(there), data: { userId, ...(name !== undefined && { name }) } });
    };
    if (clean) end();
    else there.stay = this.clock.at(this.clock.now + this.grace, end);
  }

  setStatus(user: string, status: string, data: unknown): void {
    const there = this.#present.get(user);
    if (!there || (there.status === status && JSON.stringify(there.data) === JSON.stringify(data))) return;
    there.status = status;
    there.version = (there.version ?? 0) + 1;
    if (data === undefined) delete there.data;
    else there.data = data;
    const { connections: _, stay: __, ...occupant } = there;
    this.append({ event: "presence:changed", id: `changed:${user}:${there.since}:${there.version}`, from: fromOf(there), data: occupant });
  }

  /** Forgets what is older than its kind keeps. */
  #forget(): void {
    const oldest = this.clock.now - this.kind.keep;
    const first = this.#log.findIndex(({ event }) => event.ts > oldest);
    const gone = first < 0 ? this.#log.length : first;
    if (gone > 0) this.#floor = this.#log[gone - 1]!.event.seq + 1;
    this.#log.splice(0, gone);
  }
}

function isLeftOut({ id, user }: Member, except: readonly string[]): boolean {
  return except.includes(id) || except.includes(user);
}

function fromOf({ userId, name }: Occupant): From {
  return { userId, ...(name !== undefined && { name }) };
}
