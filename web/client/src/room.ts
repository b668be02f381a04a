import type { Joined } from "./api.js";
import type { Place } from "./calls.js";
import { BellhopError, mayWorkLater } from "./error.js";
import type { Joining } from "./joins.js";
import { next, type Reason, type State } from "./membership.js";
import { Order, type Logged } from "./order.js";
import { Presence, type Listed } from "./presence.js";
import { jitter } from "./time.js";
import type { Action } from "./transport.js";
import type { JoinResult, Occupant, Position, PresenceResult, PresentResult, RoomEvent } from "./types.js";

/** A status that is kept: the server is told of it again after an absence. */
export interface Wish {
  status: string;
  data?: unknown;
  /** The server has taken it: another one that is heard after that was set later, on another device. */
  taken?: boolean;
}

/** Notes that the server has taken a wish, when it has. */
export function taken<T>(wish: Wish, set: Promise<T>): Promise<T> {
  set.then(() => (wish.taken = true), () => {});
  return set;
}

/** What rooms need of their client. */
export interface Line {
  readonly open: boolean;
  readonly userId: string | null;
  /** The page is hidden, and what is missed meanwhile is asked for later. */
  readonly paused: boolean;
  /** The status that was set for all rooms. */
  wish: Wish | null;
  /** Resolves to the answer; to null if the room was not wanted any more when it could be asked for. */
  joinRoom(room: Joining): Promise<JoinResult | null>;
  leaveRoom(room: Joining): Promise<unknown>;
  /** Sends an action until it is answered. */
  persist<T>(action: Action, room: Place, signal?: AbortSignal): Promise<T>;
  /** Fails all calls of a room that are not answered. */
  endCalls(room: Place, reason: BellhopError): void;
  /** Gives the connection up for a new one. */
  restart(why: string, cause?: unknown): void;
  /** The state of a room has changed. */
  changed(): void;
}

/** What is said to whoever holds a handle. */
export interface RoomEvents {
  event: RoomEvent;
  joined: Joined;
  change: undefined;
}

/** One who holds a room: as long as there is one, the client wants to be a member. */
export interface Holder {
  /** Nothing more is said to it. */
  end(reason: BellhopError): void;
  emit<E extends keyof RoomEvents>(name: E, value: RoomEvents[E]): void;
}

/** A room of one connection, whoever holds it. */
export class SharedRoom implements Place, Joining {
  readonly name: string;
  wish: Wish | null = null; // the status that was set here
  readonly presence = new Presence();

  #line: Line;
  #state: State = "outside";
  #turn = 0; // counts the moves: what was asked in an earlier one is answered too late
  #error: BellhopError | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined; // of the present state
  #failures = 0; // of joins and leaves, in a row
  #looks = 0; // how often the present gap was looked at
  #order: Order;
  #holders = new Set<Holder>();
  #last: Joined | null = null; // how the last join has ended
  #missed = 0;
  #paused = false; // the server pushes nothing, or only in part

  constructor(line: Line, name: string, since: Position | null) {
    this.#line = line;
    this.name = name;
    this.#order = new Order(since, (event) => this.#hear(event));
  }

  get joined(): boolean {
    return this.#state === "joined" || this.#state === "filling";
  }

  get error(): BellhopError | null {
    return this.#error;
  }

  /** How the present membership has begun. */
  get last(): Joined | null {
    return this.joined ? this.#last : null;
  }

  get position(): Position | null {
    return this.#order.position;
  }

  get listed(): boolean {
    return this.presence.listed;
  }

  get wanted(): boolean {
    return this.#holders.size > 0;
  }

  /** Nobody holds it, and the server has nothing more to do for it. */
  get over(): boolean {
    return !this.wanted && this.#state === "outside";
  }

  enter(holder: Holder): void {
    this.#holders.add(holder);
    this.#move("entered");
    if (this.joined && this.#last) {
      const joined = { ...this.#last, recovered: false, first: true, missed: 0, position: this.position! };
      queueMicrotask(() => holder.emit("joined", joined));
    }
    this.tend();
  }

  exit(holder: Holder): void {
    this.#holders.delete(holder);
    if (this.wanted) return;
    this.#line.endCalls(this, new BellhopError("closed", `${this.name} was left.`));
    this.#order.end();
    this.#order = new Order(null, (event) => this.#hear(event));
    this.presence.clear();
    this.wish = this.#last = null;
    this.tend();
    this.#line.changed();
  }

  /** Brings the membership to what is wanted. */
  tend(): void {
    if (!this.wanted) this.#move("unwanted");
    else if (this.#line.open) this.#move("wanted");
  }

  disconnected(): void {
    this.#failures = this.#looks = 0;
    this.#paused = false;
    this.#order.disconnected();
    this.presence.unsure();
    this.#move("disconnected");
  }

  /** The server pushes nothing of it, until it is joined again. */
  pause(): void {
    this.#paused = true;
  }

  /** Joins again for what was not pushed. A join that is under way may have been answered before the pause. */
  resume(): void {
    if (this.#paused) this.#move("missing");
  }

  /** The client was closed: nothing more is handed out. */
  end(reason: BellhopError): void {
    this.#order.end();
    this.disconnected();
    for (const holder of [...this.#holders]) holder.end(reason);
    this.#holders.clear();
  }

  /** Takes in a frame of this room. */
  receive(event: RoomEvent): void {
    if (event.event === "room:closed") {
      this.#order.reset();
      this.presence.clear();
      this.#move("closed", new BellhopError("not_in_room", `${this.name} was closed.`));
    }
    if (event.seq === undefined) return this.#hear(event);
    this.#order.push(event as Logged);
    this.#watch();
  }

  expelled(): void {
    if (!this.joined) return;
    this.#order.disconnected();
    this.#move("expelled");
  }

  /** The one place where the state changes, and what follows from the change begins. */
  #move(reason: Reason, error: BellhopError | null = null): void {
    const to = next(this.#state, reason);
    if (!to) return;
    const [joined, failed, turn] = [this.joined, this.#error, ++this.#turn];
    this.#state = to;
    this.#error = error;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (joined !== this.joined || failed !== error) this.#emit("change", undefined);
    if (turn === this.#turn) this.#begin(to);
    this.#line.changed();
  }

  #begin(state: State): void {
    if (state === "joining" || state === "filling") void this.#try(() => this.#join());
    else if (state === "leaving") void this.#try(() => this.#leave());
    else if (state === "joined") this.#watch();
    else this.tend();
  }

  /** Does what the state is about, and moves on where it fails, unless the state is another by then. */
  async #try(ask: () => Promise<void>): Promise<void> {
    const turn = this.#turn;
    try {
      await ask();
      this.#failures = 0;
    } catch (err) {
      if (!(err instanceof BellhopError)) throw err;
      if (turn !== this.#turn || err.code === "disconnected") return;
      // What was not answered may still be done, whenever; on a new connection it is not.
      if (err.code === "timeout") this.#line.restart(err.message, err);
      else if (mayWorkLater(err)) this.#pause(err.retryAfterMs ?? jitter(this.#failures++, 500, 10_000));
      else this.#move("refused", this.#state === "leaving" ? null : err);
    }
  }

  #pause(ms: number): void {
    this.#move("failed");
    if (this.joined) this.#after(ms, () => this.#move("missing"));
    else this.#after(ms, () => this.#move(this.wanted ? "resumed" : "outlived"));
  }

  async #join(): Promise<void> {
    for (const turn = this.#turn; ; ) {
      const [order, since, here] = [this.#order, this.#order.position, this.#me?.since];
      this.presence.expect();
      this.#paused &&= this.#line.paused;
      const result = await this.#line.joinRoom(this);
      if (turn !== this.#turn) return;
      if (!result) return this.#move(this.#failures > 0 ? "outlived" : "spared"); // the server may have done it before
      if (!this.wanted) return this.#move("outlived");
      if (order !== this.#order) continue; // all have left meanwhile, and somebody has come who is to begin anew
      const recovered = result.recovered && since !== null;
      const missed = order.joined(result);
      this.#missed = recovered ? this.#missed + missed : 0;
      if (turn !== this.#turn) return;
      if (!this.wanted) return this.#move("outlived");
      if (order !== this.#order) continue;
      const { presence, presenceMore } = result;
      const listed = presence ? this.presence.snapshot(presence, result.seq, presenceMore, result.recovered) : this.presence.kept();
      if (presence && listed) void this.#list(listed, presence);
      if (here === this.#me?.since) this.#giveWay();
      if ((result.more && result.events.length > 0) || (this.#paused && !this.#line.paused)) continue;
      this.#welcome(recovered, result);
      return;
    }
  }

  /** Asks for the other pages of who is present. */
  async #list(listed: Listed, page: Occupant[]): Promise<void> {
    try {
      for (let more = true; more; ) {
        const asked = { action: "presence", room: this.name, after: page.at(-1)!.userId };
        const got = await this.#line.persist<PresentResult>(asked, this);
        page = got.presence;
        more = this.presence.page(listed, page, got.more === true && page.length > 0);
        this.#emit("change", undefined);
      }
    } catch {
      this.presence.unsure(); // it was left, or cannot be joined, or the server does not answer: the next join lists anew
    }
  }

  #welcome(recovered: boolean, { more, state }: JoinResult): void {
    const order = this.#order;
    const filled = this.joined && recovered;
    const joined = { recovered, first: this.#last === null, missed: this.#missed, position: this.position!, ...(state !== undefined && { state }) };
    this.#missed = 0;
    this.#move("answered");
    if (more) this.#after(1_000, () => this.#move("missing")); // something is being written
    if (filled || order !== this.#order || !this.joined) return;
    this.#last = joined;
    this.#emit("joined", joined);
    this.#keepStatus();
  }

  async #leave(): Promise<void> {
    const turn = this.#turn;
    await this.#line.leaveRoom(this);
    if (turn !== this.#turn) return;
    this.#order.disconnected();
    this.#move("answered");
  }

  /** Events that overtake each other close most gaps by themselves. A position that nobody wrote at is void after 5 s. */
  #watch(): void {
    if (!this.#order.gap) {
      this.#looks = 0;
    } else if (this.#state === "joined" && this.#timer === undefined && !(this.#paused && this.#line.paused)) {
      const ms = Math.min(10_000, 200 * 2 ** this.#looks++);
      this.#after(ms * (0.75 + Math.random() / 2), () => (this.#order.gap ? this.#move("missing") : this.#watch()));
    }
  }

  #after(ms: number, what: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      what();
    }, ms);
  }

  /** What the others see of this user. */
  get #me(): Occupant | undefined {
    return this.presence.users.get(this.#line.userId ?? "");
  }

  /** A status that was set, where the others see another one. */
  get #unseen(): Wish | null {
    const [wish, me] = [this.wish ?? this.#line.wish, this.#me];
    return wish && me && (me.status !== wish.status || JSON.stringify(me.data) !== JSON.stringify(wish.data)) ? wish : null;
  }

  /** A status that was set is set again after an absence longer than the grace, which begins another presence. */
  #keepStatus(): void {
    const wish = this.#unseen;
    if (!wish) return;
    const { status, data } = wish;
    this.#line.persist<PresenceResult>({ action: "presence", room: this.name, status, ...(data !== undefined && { data }) }, this).catch(() => {});
  }

  /** Within one presence, what others see is what was set last: if it is not what was set here, then on another device. */
  #giveWay(): void {
    const wish = this.#unseen;
    if (!wish?.taken) return;
    if (wish === this.wish) this.wish = null;
    else this.#line.wish = null;
  }

  #hear(event: RoomEvent): void {
    const changed = this.presence.apply(event);
    if (changed && this.joined && event.event === "presence:changed") this.#giveWay();
    if (event.event !== "room:skipped") this.#emit("event", event);
    if (changed) this.#emit("change", undefined);
  }

  #emit<E extends keyof RoomEvents>(name: E, value: RoomEvents[E]): void {
    for (const holder of [...this.#holders]) if (this.#holders.has(holder)) holder.emit(name, value);
  }
}
