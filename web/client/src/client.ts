import type { Abortable, Client, ClientEvents, Room, Status, Unsubscribe } from "./api.js";
import { Calls, type Place } from "./calls.js";
import { BellhopError, mayWorkLater } from "./error.js";
import { Handle } from "./handle.js";
import { Hidden } from "./hidden.js";
import { Joins, type Joining } from "./joins.js";
import { Listeners } from "./listeners.js";
import { Liveness } from "./liveness.js";
import { Requests, needsToken, type Ask } from "./requests.js";
import { SharedRoom, taken, type Line, type Wish } from "./room.js";
import { jitter, unless, within } from "./time.js";
import { readToken, renewIn, type Claims } from "./token.js";
import { REPLY_TIMEOUT, noToken, type Action, type ConnectOptions, type Frame, type OpenTransport, type Transport } from "./transport.js";
import type { JoinResult, Position, PresenceResult, PublishResult, RoomEvent } from "./types.js";
import { WebSocketTransport } from "./websocket.js";

const TOKEN_WITHIN = 15_000;
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Opens a connection to a WebSocket API of Bellhop, and keeps it open.
 *
 * @param url such as wss://abc.execute-api.eu-west-1.amazonaws.com/prod, or ws://127.0.0.1:4000/dev
 * @throws Error where there is no WebSocket and none is given, no such URL, or no token function
 */
export function connect(url: string, options: ConnectOptions): Client {
  return new Connection(url, options);
}

/** The client, and the line that its rooms and calls go over. */
class Connection implements Client, Line {
  wish: Wish | null = null;

  #options: ConnectOptions;
  #transport: Transport;
  #listeners = new Listeners<ClientEvents>();
  #status: Status = "connecting";
  #error: BellhopError | null = null;
  #rooms = new Map<string, SharedRoom>();
  #requests: Requests;
  #joins: Joins;
  #calls: Calls;
  #liveness: Liveness;
  #hidden: Hidden;
  #offered: Claims | null = null; // of the token that the next connection is asked for with
  #offers = 0;
  #claims: Claims | null = null; // of the one that the server has accepted last
  #ahead = Infinity; // how much the clock here is ahead of the one that signs tokens, at most
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #warned = false;
  #stopWatching: () => void;

  constructor(url: string, options: ConnectOptions) {
    if (typeof options?.token !== "function") throw new Error("connect needs a function that gives a token, as the option \"token\".");
    this.#options = options;
    this.#liveness = new Liveness(
      () => this.#transport.send({ action: "ping" }),
      (silent) => this.restart(`Nothing was heard for ${Math.round(silent / 1000)} s, not even an answer to a ping.`),
    );
    this.#requests = new Requests({
      send: (action) => this.#transport.send(action),
      asked: () => this.#liveness.asked(),
      unanswered: () => this.#liveness.check(),
    }, options.replyTimeout ?? REPLY_TIMEOUT);
    this.#calls = new Calls(this, options.publishTimeout ?? 60_000, options.offlineLimit ?? 100);
    this.#joins = new Joins(this.#requests, ({ name }) => this.#calls.waitFor(name));
    this.#hidden = new Hidden({
      ask: (ask) => this.ask(ask),
      restart: (why, cause) => this.restart(why, cause),
      pause: (rooms) => rooms.forEach((name) => this.#rooms.get(name)?.pause()),
      resume: () => this.#rooms.forEach((room) => room.resume()),
    }, options.pauseHidden ?? 0);
    const open: OpenTransport = options.transport ?? ((...how) => new WebSocketTransport(...how));
    this.#transport = open(url, options, {
      token: () => this.#token(),
      connecting: () => this.#set("connecting"),
      open: () => this.#opened(),
      receive: (frame) => {
        this.#liveness.received(frame.reply !== undefined || frame.event === "pong");
        this.#receive(frame);
      },
      lost: (reason) => this.#lost(reason),
    });
    this.#stopWatching = watchPage({
      used: () => this.#liveness.look(),
      shown: () => {
        void this.#hidden.shown();
        this.open ? this.#liveness.look() : this.#transport.reconnect();
      },
      hidden: () => this.open && this.#hidden.look(),
      online: () => this.reconnect(),
      offline: () => this.restart("This device is offline."),
    });
  }

  get status(): Status {
    return this.#status;
  }

  get error(): BellhopError | null {
    return this.#error;
  }

  get userId(): string | null {
    return this.#claims?.userId ?? null;
  }

  get open(): boolean {
    return this.#status !== "closed" && this.#transport.open;
  }

  get paused(): boolean {
    return this.#hidden.paused;
  }

  on<E extends keyof ClientEvents>(event: E, handler: (value: ClientEvents[E]) => void): Unsubscribe {
    return this.#listeners.on(event, handler);
  }

  join(name: string, options: { since?: Position } = {}): Room {
    let room = this.#rooms.get(name);
    if (!room) {
      room = new SharedRoom(this, name, options.since ?? null);
      if (this.#status !== "closed") this.#rooms.set(name, room);
    }
    const handle = new Handle(this, room);
    if (this.#status !== "closed") room.enter(handle);
    return handle;
  }

  presence(status: string, data?: unknown, { signal }: Abortable = {}): Promise<PresenceResult> {
    const wish: Wish = (this.wish = { status, ...(data !== undefined && { data }) });
    for (const room of this.#rooms.values()) room.wish = null;
    return taken(wish, this.persist({ action: "presence", ...wish }, null, signal));
  }

  readNotification(id: string, { signal }: Abortable = {}): Promise<PublishResult> {
    return this.persist({ action: "notification:read", notificationId: id }, null, signal);
  }

  call<T>(action: string, { room, data, id, signal }: { room?: string; data?: unknown; id?: string } & Abortable = {}): Promise<T> {
    const frame = { action, ...(room !== undefined && { room }), ...(data !== undefined && { data }) };
    return id === undefined ? unless(signal, this.ask<T>(() => (signal?.aborted ? null : frame)) as Promise<T>) : this.persist<T>({ ...frame, id }, null, signal);
  }

  reconnect(): void {
    if (this.open) this.#liveness.check();
    else this.#transport.reconnect();
  }

  close(): void {
    this.#end(null);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // —— what rooms and calls need ——

  /** Sends an action that needs no reply, if the connection is open. */
  send(action: Action): boolean {
    const sent = this.#transport.send(action);
    if (sent) this.#requests.pacer.sent();
    return sent;
  }

  ask<T>(ask: Ask): Promise<T | null> {
    return this.#requests.ask<T>(ask);
  }

  persist<T>(action: Action, room: Place | null = null, signal?: AbortSignal): Promise<T> {
    return this.#calls.add<T>(action, room, signal);
  }

  joinRoom(room: Joining): Promise<JoinResult | null> {
    return this.#joins.add(room);
  }

  leaveRoom({ name }: Joining): Promise<unknown> {
    return this.#requests.ask(() => ({ action: "leave", room: name }), "membership");
  }

  endCalls(room: Place, reason: BellhopError): void {
    this.#calls.fail(reason, room);
  }

  restart(why: string, cause?: unknown): void {
    if (this.open) this.#transport.reconnect(new BellhopError("disconnected", why, { retry: true, cause }));
  }

  dropped(what: ClientEvents["dropped"]): void {
    this.#listeners.emit("dropped", what);
  }

  changed(): void {
    for (const [name, room] of this.#rooms) if (room.over) this.#rooms.delete(name);
    this.#calls.run();
  }

  // —— the connection ——

  async #token(): Promise<string> {
    const offer = ++this.#offers;
    const token = await this.#fresh();
    if (offer === this.#offers) this.#offered = readToken(token); // an attempt that was given up is not what is accepted
    return token;
  }

  /** A token, or an error in time: a function that never settles would otherwise be waited for as long as the page lives. */
  #fresh(): Promise<string> {
    const late = () => new BellhopError("token", `The token function has not answered for ${TOKEN_WITHIN / 1000} s.`, { retry: true });
    return within(TOKEN_WITHIN, Promise.resolve().then(() => this.#options.token()), late);
  }

  #opened(): void {
    this.#error = null;
    if (this.#offered) this.#accepted(this.#offered);
    this.#liveness.start(this.#transport.probe);
    this.#requests.pacer.start();
    this.#hidden.look();
    this.#set("open");
    for (const room of [...this.#rooms.values()]) room.tend();
  }

  /** The server has accepted a token: this is who the client is from now on. */
  #accepted(claims: Claims): void {
    const before = this.#claims;
    this.#claims = claims;
    if (before && before.userId !== claims.userId) {
      // What the one has written must not go out in the name of the other.
      this.wish = null;
      for (const room of this.#rooms.values()) room.wish = null;
      this.#calls.fail(new BellhopError("closed", `The token was ${before.userId}'s and is ${claims.userId}'s now.`));
    }
    if (before?.issued && claims.issued && claims.issued > before.issued) this.#ahead = Math.min(this.#ahead, Date.now() - claims.issued);
    this.#renewLater();
  }

  #lost(reason: BellhopError): void {
    this.#liveness.stop();
    this.#hidden.stop();
    clearTimeout(this.#renewal);
    this.#error = reason;
    this.#requests.fail(new BellhopError("disconnected", "The connection was lost.", { retry: true }));
    for (const room of [...this.#rooms.values()]) room.disconnected();
    if (reason.code !== "disconnected" || this.#status !== "open") this.#listeners.emit("error", reason);
    if (reason.retry && !this.#claims && !this.#warned) {
      this.#warned = true; // whoever sets this up looks into the console
      console.warn(`Bellhop: ${reason.message}`);
    }
    if (!reason.retry) return this.#end(reason);
    if (!this.open) this.#set("connecting"); // another may have taken its place
  }

  #receive(frame: Frame): void {
    if (this.#status === "closed") return; // by a listener, in the midst of a batch
    if (frame.batch) {
      for (const each of frame.batch) this.#receive(each);
    } else if (frame.reply !== undefined) {
      this.#transport.good();
      const refusal = this.#requests.answered(frame);
      if (refusal && needsToken(refusal)) this.restart(refusal.message, refusal);
      else if (refusal) this.#listeners.emit("error", refusal);
    } else if (frame.event === "pong") {
      this.#transport.good();
    } else if (frame.event && frame.room) {
      this.#rooms.get(frame.room)?.receive(frame as unknown as RoomEvent);
    } else if (frame.event === "session:ending") {
      this.#listeners.emit("session:ending", (frame.data ?? { reason: "" }) as { reason: string });
    } else if (frame.event) {
      this.#listeners.emit("event", frame as unknown as RoomEvent);
    } else if (frame.message) {
      this.#listeners.emit("error", new BellhopError("internal", `The gateway says: ${frame.message}`, { retry: true }));
    }
  }

  /** Renews the token in place. Where that fails, the server ends the connection in time, and the next has a new token. */
  #renewLater(): void {
    clearTimeout(this.#renewal);
    const ahead = this.#ahead === Infinity ? 0 : Math.max(0, this.#ahead);
    const wait = this.#claims && renewIn(this.#claims, Date.now() - ahead);
    if (wait !== null) this.#renewal = setTimeout(() => void this.#renew(0), Math.min(wait, LONGEST_TIMER));
  }

  async #renew(tries: number): Promise<void> {
    try {
      const token = await this.#fresh();
      if (!this.open) return;
      const claims = readToken(token);
      if (claims.userId !== this.userId) return this.restart("The token is another user's.");
      await this.ask(() => ({ action: "auth", token }));
      this.#accepted(claims);
    } catch (thrown) {
      if (!this.open) return;
      const err = noToken(thrown);
      this.#listeners.emit("error", err);
      if (err.code !== "token" && !mayWorkLater(thrown)) return this.restart(err.message, err);
      this.#renewal = setTimeout(() => void this.#renew(tries + 1), err.retryAfterMs ?? 500 + jitter(tries, 1_000, 15_000));
    }
  }

  #end(reason: BellhopError | null): void {
    if (this.#status === "closed") return;
    this.#status = "closed";
    this.#error = reason;
    const why = reason ?? new BellhopError("closed", "The client was closed.");
    this.#transport.close();
    this.#liveness.stop();
    this.#hidden.stop();
    this.#stopWatching();
    clearTimeout(this.#renewal);
    this.#requests.fail(why);
    this.#calls.end(why);
    for (const room of [...this.#rooms.values()]) room.end(why);
    this.#rooms.clear();
    this.#listeners.emit("status", "closed");
  }

  #set(status: Status): void {
    if (this.#status === "closed") return;
    if (this.#status !== status) {
      this.#status = status;
      this.#listeners.emit("status", status);
    }
    this.changed();
  }
}

/** Tells of whoever uses a page, and of what it knows of its network. */
function watchPage({ used, shown, hidden, online, offline }: Record<"used" | "shown" | "hidden" | "online" | "offline", () => void>): () => void {
  const page = globalThis as Partial<Pick<Window, "addEventListener" | "removeEventListener">> & { document?: Document };
  if (!page.addEventListener || !page.removeEventListener) return () => {};
  const visible = () => (page.document?.visibilityState === "hidden" ? hidden() : shown());
  const heard = { online, offline, visibilitychange: visible, pointermove: used, pointerdown: used, keydown: used };
  const stops = Object.entries(heard).map(([name, handler]) => {
    const target = name.endsWith("line") ? (page as Window) : page.document;
    target?.addEventListener?.(name, handler, { passive: true });
    return () => target?.removeEventListener?.(name, handler);
  });
  return () => stops.forEach((stop) => stop());
}
