import type { Joined, Room } from "../api.js";
import type { RoomEvent } from "../types.js";
import { RoomStore, shown, type SocketError } from "./room.js";
import type { Session } from "./session.js";

/** How much of a log a store loads and keeps. */
export interface Extent {
  /** Events of the first request. Those after it ask for more, since what is sought is rare. */
  page: number;
  /** Requests at a time, however little they bring. */
  pages: number;
  /** Wanted events that are enough at a time. */
  enough: number;
  /** Items kept; the oldest go first. */
  keep: number;
}

interface Entry<T> {
  value: T;
  /** Which loading of the log it belongs to: an earlier one's is older, whatever its seq. */
  turn: number;
  /** Infinity for what is not logged yet. */
  seq: number;
  order: number;
}

interface Part {
  epoch: string;
  events: RoomEvent[];
  more: boolean;
}

/** The part of a log that was not loaded: everything before a seq, if there is more. */
export interface Earlier {
  epoch: string;
  before: number | undefined;
  more: boolean;
}

/** The most events of one request. */
export const PAGE = 200;

const RETRY_AFTER = 1_000;
const RETRY_AT_MOST = 20_000;

/**
 * A store of items that are made of the events of a room's log: the newest part of it, loaded at the start, then what
 * comes, and older parts on request. When a reconnect could not bring everything that was missed, it loads anew.
 */
export abstract class LogStore<T, S extends { isLoading: boolean }> extends RoomStore<S> {
  readonly #extent: Extent;
  #keep: number;
  readonly #entries = new Map<string, Entry<T>>();
  #list: readonly T[] | null = [];
  #turn = 0;
  #order = 0;
  #loaded = false;
  #epoch = "";
  /** Where the loaded part begins; undefined while there is nothing in it. */
  #oldest: number | undefined;
  #older: Promise<void> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #loading = true;
  /** The log holds older events than were loaded. */
  protected hasMore = false;
  /** No reconnect so far, or the last one brought everything that was missed. */
  protected recovered = true;

  constructor(session: Session | null, name: string, key: string, initial: S, extent: Extent) {
    super(session, name, key, session ? initial : { ...initial, isLoading: false });
    this.#extent = extent;
    this.#keep = extent.keep;
  }

  /** Puts what an event says into the items. Events come in their order, but for those of an older part. */
  protected abstract read(event: RoomEvent): void;

  /** The event becomes an item: it counts when the log is paged through. */
  protected abstract wanted(event: RoomEvent): boolean;

  /** The items, oldest first, those without a seq last; the same array until one changes. */
  protected items(): readonly T[] {
    if (this.#list) return this.#list;
    const sorted = [...this.#entries].sort(([, a], [, b]) => a.turn - b.turn || compare(a.seq, b.seq) || a.order - b.order);
    const excess = sorted.length - this.#keep;
    if (excess > 0) {
      for (const [id] of sorted.splice(0, excess)) this.#entries.delete(id);
      this.#oldest = sorted[0]?.[1].seq;
      this.hasMore = true;
    }
    return (this.#list = sorted.map(([, { value }]) => value));
  }

  /** The newest part is not there yet, and is on its way. */
  protected get isLoading(): boolean {
    const nowhere = !this.session || (this.running && !this.room);
    return this.#loading && !nowhere && !this.failure;
  }

  protected item(id: string): T | undefined {
    return this.#entries.get(id)?.value;
  }

  /** The place of an item in the log; Infinity for what is not logged yet. */
  protected seqOf(id: string): number {
    return this.#entries.get(id)?.seq ?? Infinity;
  }

  /** The log is about to be loaded anew, or for the first time. */
  protected began(): void {}

  /** The newest part of the log was loaded, and so much is before it. `current` says whether it is still this loading. */
  protected loaded(_before: Earlier, _current: () => boolean): void {}

  /** Puts an item in its place; without a seq at the end, or where it was. */
  protected put(id: string, value: T, seq?: number): void {
    const before = this.#entries.get(id);
    const order = before?.order ?? this.#order++;
    if (seq !== undefined) this.#entries.set(id, { value, turn: this.#turn, seq, order });
    else this.#entries.set(id, { value, turn: before?.turn ?? Infinity, seq: before?.seq ?? Infinity, order });
    this.#list = null;
    this.changed();
  }

  /** What is shown beside the items has changed: they are to be another array. */
  protected relist(): void {
    this.#list = null;
    this.changed();
  }

  protected drop(id: string): void {
    if (this.#entries.delete(id)) this.#list = null;
    this.changed();
  }

  /** Loads an older part of the log. Calls during another are one with it. */
  readonly loadMore = (): Promise<void> => {
    this.#older ??= shown(this.#loadOlder().finally(() => (this.#older = null)));
    return this.#older;
  };

  protected override hear(event: RoomEvent): void {
    this.read(event);
  }

  protected override joined({ recovered }: Joined): void {
    if (this.#loaded) this.recovered = recovered;
    if (this.#loaded && recovered) return;
    this.#turn++;
    this.began();
    void this.#load(0);
  }

  protected override stop(): void {
    clearTimeout(this.#timer);
    this.#loaded = false;
    this.#turn++; // what is on its way comes too late
    super.stop();
  }

  async #load(tries: number): Promise<void> {
    clearTimeout(this.#timer);
    const [room, turn] = [this.room, this.#turn];
    if (!room) return;
    this.#loading = true;
    try {
      const part = await this.#back(room);
      if (turn !== this.#turn) return;
      for (const [id, entry] of this.#entries) if (entry.turn < turn) this.#entries.delete(id);
      this.#list = null;
      this.#loaded = true;
      this.#loading = false;
      this.#keep = this.#extent.keep;
      this.#oldest = undefined;
      this.#reach(part);
      this.succeed();
      this.loaded({ epoch: part.epoch, before: this.#oldest, more: part.more }, () => turn === this.#turn);
    } catch (err) {
      if (turn !== this.#turn) return;
      this.fail(err);
      const { code, retry } = err as SocketError;
      if (code === "disconnected") return; // the next join loads
      this.#loading = retry || code === "timeout";
      if (this.#loading) this.#timer = setTimeout(() => void this.#load(tries + 1), Math.min(RETRY_AFTER * 2 ** tries, RETRY_AT_MOST));
    }
  }

  async #loadOlder(): Promise<void> {
    const [turn, oldest] = [this.#turn, this.#oldest];
    if (!this.hasMore || oldest === undefined) return;
    const part = await this.act((room) => this.#back(room, oldest));
    if (turn !== this.#turn) return;
    if (part.epoch !== this.#epoch) {
      this.#turn++;
      this.began();
      return this.#load(0);
    }
    this.#keep += part.events.length;
    this.#reach(part);
  }

  #reach({ epoch, events, more }: Part): void {
    for (const event of events) this.read(event);
    this.#epoch = epoch;
    this.#oldest = events[0]?.seq ?? this.#oldest;
    this.hasMore = more;
    this.changed();
  }

  /** Pages back, from the end or from a seq, until there is enough. */
  async #back(room: Room, before?: number): Promise<Part> {
    const { page, pages, enough } = this.#extent;
    const part: Part = { epoch: "", events: [], more: true };
    for (let i = 0; i < pages && part.more && part.events.filter((event) => this.wanted(event)).length < enough; i++) {
      const got = await room.history({ limit: Math.min(page * 2 ** i, PAGE), ...(before !== undefined && { before }) });
      if (part.epoch && got.epoch !== part.epoch) break; // a new log began: its first event makes the client join again
      part.epoch = got.epoch;
      part.more = got.more;
      part.events.unshift(...got.events);
      before = got.events[0]?.seq ?? before;
    }
    return part;
  }
}

const compare = (a: number, b: number) => (a === b ? 0 : a - b); // Infinity less Infinity is no number
