import type { Connection } from "./client.js";
import { BellhopError, mayWorkLater } from "./error.js";
import { Listeners } from "./listeners.js";
import { Order, type Logged } from "./order.js";
import { Presence } from "./presence.js";
import { jitter, pause } from "./time.js";
import { encode } from "./transport.js";
import type {
  DataOf, HistoryResult, Joined, JoinResult, Occupant, Position, PresenceResult, PublishResult, Room, RoomEvent, Unsubscribe,
} from "./types.js";

/** What everything in this file is said to who holds a handle. */
interface RoomEvents {
  event: RoomEvent;
  joined: Joined;
  change: undefined;
}

interface Publish {
  action: { action: "publish"; id: string; room: string; event: string; data: unknown };
  sending: boolean;
  ended: AbortController;
  done: Promise<PublishResult>;
  settle: { resolve(result: PublishResult): void; reject(err: unknown): void };
}

/** A room of one connection, whoever holds handles of it. It is a member as long as there is one. */
export class SharedRoom {
  readonly name: string;
  joined = false;
  error: BellhopError | null = null;
  wish: { status: string; data?: unknown } | null = null; // the status that was set here
  last: Joined | null = null; // how the last join has ended
  readonly presence = new Presence();

  #connection: Connection;
  #order: Order;
  #handles = new Set<Handle>();
  #closed = false; // by the server: it is joined again only when somebody takes a handle
  #member = false; // a join was sent on this connection, so that the server may have it
  #working = false;
  #first = true;
  #missed = 0;
  #asked = 0; // how often the present gap was asked for
  #timer: ReturnType<typeof setTimeout> | undefined;
  #queue: Publish[] = [];
  #sending = false;

  constructor(connection: Connection, name: string, since: Position | null) {
    this.#connection = connection;
    this.name = name;
    this.#order = new Order(since, (event) => this.#hear(event));
  }

  get position(): Position | null {
    return this.#order.position;
  }

  get wanted(): boolean {
    return this.#handles.size > 0 && !this.#closed;
  }

  /** Nobody holds it, and the server has nothing more to do for it. */
  get over(): boolean {
    return this.#handles.size === 0 && !this.#working && !this.#member;
  }

  enter(handle: Handle): void {
    this.#handles.add(handle);
    this.#closed = false;
    if (this.error) this.#change(() => (this.error = null));
    if (this.joined && this.last) queueMicrotask(() => handle.emit("joined", { ...this.last!, recovered: false, first: true, missed: 0, position: this.position! }));
    this.tend();
  }

  exit(handle: Handle): void {
    this.#handles.delete(handle);
    if (this.#handles.size > 0) return;
    this.end(new BellhopError("closed", `${this.name} was left.`));
    this.#order.reset();
    this.presence.clear();
    this.wish = this.last = null;
    this.#first = true;
    this.tend();
    this.#connection.changed();
  }

  /** Fails all that waits here. */
  end(reason: BellhopError): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { ended } of [...this.#queue]) ended.abort(reason);
  }

  disconnected(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#member = false;
    this.#asked = 0;
    if (!this.#closed) this.error = null; // another token may allow more
    this.#order.disconnected();
    if (this.joined) this.#change(() => (this.joined = false));
  }

  /** Takes in a frame of this room. */
  receive(event: RoomEvent): void {
    if (event.event === "room:closed") {
      this.#closed = true;
      this.#member = false;
      this.#order.reset();
      this.presence.clear();
      this.#change(() => {
        this.joined = false;
        this.error = new BellhopError("not_in_room", `${this.name} was closed.`);
      });
    }
    if (event.seq === undefined) return this.#hear(event);
    this.#order.push(event as Logged);
    this.#watch();
  }

  /**
   * Brings the membership to what is wanted, one step after the other: the server runs the frames of one connection at the
   * same time, so that a join and a leave that are both under way could end either way.
   */
  tend(): void {
    if (!this.#working) void this.#work();
  }

  async #work(): Promise<void> {
    this.#working = true;
    try {
      for (let tries = 0; this.#connection.open; tries++) {
        try {
          if (this.wanted && !this.joined && !this.error) await this.#join();
          else if (!this.wanted && this.#member) await this.#leave();
          else break;
          tries = 0;
        } catch (err) {
          if (!(err instanceof BellhopError)) throw err;
          if (err.code === "timeout") {
            // It may still happen, whenever; on a new connection it does not.
            this.#connection.reconnect();
            break;
          }
          if (err.code === "disconnected") break;
          if (!mayWorkLater(err)) {
            this.#change(() => (this.error = err));
            break;
          }
          await pause(err.retryAfterMs ?? jitter(tries, 500, 10_000), this.#connection.closed).catch(() => {});
        }
      }
    } finally {
      this.#working = false;
      this.#connection.changed();
    }
    if (this.#connection.open && !this.error && (this.wanted ? !this.joined : this.#member)) this.tend();
  }

  async #join(): Promise<void> {
    this.#member = true;
    let more = true;
    while (more && this.wanted) {
      const since = this.#order.position;
      this.presence.expect();
      const result = await this.#connection.request<JoinResult>({ action: "join", room: this.name, ...(since && { since }) });
      if (!this.wanted) return;
      const recovered = result.recovered && since !== null;
      this.#missed += this.#order.joined(result);
      if (result.presence) this.presence.snapshot(result.presence, result.seq);
      more = result.more === true && result.events.length > 0;
      if (result.more && !more) this.#again(1_000, true); // something is being written
      if (!recovered) this.#missed = 0;
      if (!more) this.#welcome(recovered, result.state);
    }
  }

  #welcome(recovered: boolean, state: unknown): void {
    const looked = this.joined; // it only asked for a gap
    const joined = { recovered, first: this.#first, missed: this.#missed, position: this.position!, ...(state !== undefined && { state }) };
    this.#missed = 0;
    this.#change(() => (this.joined = true));
    if (!looked || !recovered) {
      this.#first = false;
      this.last = joined;
      this.#emit("joined", joined);
      this.#keepStatus();
    }
    this.#watch();
    this.flush();
  }

  async #leave(): Promise<void> {
    if (this.joined) this.#change(() => (this.joined = false));
    await this.#connection.request({ action: "leave", room: this.name });
    this.#member = false;
    this.#order.disconnected();
  }

  /** Events that overtake each other close most gaps by themselves. A position that nobody wrote at is void after 5 s. */
  #watch(): void {
    if (!this.#order.gap) {
      this.#asked = 0;
    } else if (this.#timer === undefined) {
      this.#again(Math.min(10_000, 200 * 2 ** this.#asked++), false);
    }
  }

  /** Joins again in a while: in any case, or if there is still a gap then. */
  #again(ms: number, always: boolean): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.joined || !this.wanted || this.#working || !(always || this.#order.gap)) return;
      this.#working = true;
      this.#join()
        .catch((err: unknown) => {
          if (err instanceof BellhopError && mayWorkLater(err) && this.joined) this.#again(1_000, true);
        })
        .finally(() => {
          this.#working = false;
          this.#connection.changed();
          this.tend();
        });
    }, ms * (0.75 + Math.random() / 2));
  }

  /** A status that was set is set again when the server knows of another: after an absence longer than the grace. */
  #keepStatus(): void {
    const wish = this.wish ?? this.#connection.wish;
    const mine = this.presence.users.get(this.#connection.userId ?? "");
    if (!wish || !mine || (mine.status === wish.status && JSON.stringify(mine.data) === JSON.stringify(wish.data))) return;
    this.#connection.persist<PresenceResult>({ action: "presence", room: this.name, ...wish }, this).catch(() => {});
  }

  publish(event: string, data: unknown, id: string): Promise<PublishResult> {
    const action = { action: "publish" as const, id, room: this.name, event, data };
    encode(action); // too large is said at once
    let settle!: Publish["settle"];
    const done = new Promise<PublishResult>((resolve, reject) => (settle = { resolve, reject }));
    const publish: Publish = { action, sending: false, ended: new AbortController(), done, settle };
    publish.ended.signal.addEventListener("abort", () => {
      this.#queue = this.#queue.filter((one) => one !== publish);
      settle.reject(publish.ended.signal.reason);
    });
    this.#queue.push(publish);
    this.#connection.waits(publish.ended, { room: this.name, event, id }, () => publish.sending);
    this.flush();
    return done;
  }

  /** Sends what waits, one after the other, so that the room has it in this order. */
  flush(): void {
    if (!this.#sending) void this.#send();
  }

  async #send(): Promise<void> {
    this.#sending = true;
    for (let publish = this.#queue[0]; publish; publish = this.#queue[0]) {
      try {
        const one = publish;
        const result = await this.#connection.persist<PublishResult>(one.action, this, one.ended.signal, (is) => (one.sending = is));
        publish.settle.resolve(result);
      } catch (err) {
        publish.settle.reject(err);
      }
      this.#connection.waited(publish.ended);
      this.#queue = this.#queue.filter((one) => one !== publish);
    }
    this.#sending = false;
  }

  /** The server does not know that this connection is a member: it is joined again. */
  lostMembership(): void {
    if (this.joined) {
      this.#order.disconnected();
      this.#change(() => (this.joined = false));
    }
    this.tend();
  }

  #hear(event: RoomEvent): void {
    const changed = this.presence.apply(event);
    this.#emit("event", event);
    if (changed) this.#emit("change", undefined);
  }

  #change(make: () => void): void {
    make();
    this.#emit("change", undefined);
    this.#connection.changed();
  }

  #emit<E extends keyof RoomEvents>(name: E, value: RoomEvents[E]): void {
    for (const handle of [...this.#handles]) handle.emit(name, value);
  }
}

/** One caller's handle of a {@link SharedRoom}. */
export class Handle implements Room {
  #room: SharedRoom;
  #connection: Connection;
  #listeners = new Listeners<RoomEvents>();
  #left = false;

  constructor(connection: Connection, room: SharedRoom) {
    this.#connection = connection;
    this.#room = room;
  }

  get name(): string {
    return this.#room.name;
  }

  get joined(): boolean {
    return !this.#left && this.#room.joined;
  }

  get position(): Position | null {
    return this.#room.position;
  }

  get present(): ReadonlyMap<string, Occupant> {
    return this.#room.presence.users;
  }

  get error(): BellhopError | null {
    return this.#room.error;
  }

  on<E extends string>(name: E, handler: (event: RoomEvent<E>) => void): Unsubscribe {
    return this.onAny((event) => {
      if (event.event === name) handler(event as RoomEvent<E>);
    });
  }

  onAny(handler: (event: RoomEvent) => void): Unsubscribe {
    return this.#listeners.on("event", handler);
  }

  onJoined(handler: (joined: Joined) => void): Unsubscribe {
    return this.#listeners.on("joined", handler);
  }

  onChange(handler: () => void): Unsubscribe {
    return this.#listeners.on("change", handler);
  }

  publish<E extends string>(event: E, data: DataOf<E>, options: { id?: string } = {}): Promise<PublishResult> {
    if (this.#left) return Promise.reject(this.#over());
    try {
      return this.#room.publish(event, data, options.id ?? this.#connection.newId());
    } catch (err) {
      return Promise.reject(err as Error);
    }
  }

  signal(event: string, data?: unknown): boolean {
    return this.joined && this.#connection.send({ action: "signal", room: this.name, event, ...(data !== undefined && { data }) });
  }

  presence(status: string, data?: unknown): Promise<PresenceResult> {
    if (this.#left) return Promise.reject(this.#over());
    this.#room.wish = { status, ...(data !== undefined && { data }) };
    return this.#connection.persist({ action: "presence", room: this.name, ...this.#room.wish }, this.#room);
  }

  history(options: { before?: number; limit?: number } = {}): Promise<HistoryResult> {
    if (this.#left) return Promise.reject(this.#over());
    return this.#connection.persist({ action: "history", room: this.name, ...options }, this.#room);
  }

  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#listeners.clear();
    this.#room.exit(this);
  }

  emit<E extends keyof RoomEvents>(name: E, value: RoomEvents[E]): void {
    if (!this.#left) this.#listeners.emit(name, value);
  }

  #over(): BellhopError {
    return new BellhopError("closed", `This handle of ${this.name} was given back.`);
  }
}
