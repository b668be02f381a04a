import { BellhopError, mayWorkLater } from "./error.js";
import { KeepAlive } from "./keepalive.js";
import { Listeners } from "./listeners.js";
import { Handle, SharedRoom } from "./room.js";
import { jitter, pause } from "./time.js";
import { readToken, renewIn } from "./token.js";
import { REPLY_TIMEOUT, refused, type Action, type Frame, type OpenTransport, type Transport } from "./transport.js";
import type {
  Client, ClientEvents, ConnectOptions, Position, PresenceResult, PublishResult, Room, RoomEvent, Status, Unsubscribe,
} from "./types.js";
import { WebSocketTransport } from "./websocket.js";

interface Request {
  resolve(data: never): void;
  reject(err: BellhopError): void;
  timer: ReturnType<typeof setTimeout>;
}

interface Waiting {
  ended: AbortController;
  timer: ReturnType<typeof setTimeout>;
  what: ClientEvents["dropped"];
  sending: () => boolean;
}

/**
 * Opens a connection to a WebSocket API of Bellhop, and keeps it open.
 *
 * @param url such as wss://abc.execute-api.eu-west-1.amazonaws.com/prod, or ws://127.0.0.1:4000/dev
 * @throws Error where there is no WebSocket and none is given
 */
export function connect(url: string, options: ConnectOptions): Client {
  return new Connection(url, options);
}

/** The client, and what its rooms need of it. */
export class Connection implements Client {
  wish: { status: string; data?: unknown } | null = null; // the status that was set for all rooms

  #options: ConnectOptions;
  #transport: Transport;
  #listeners = new Listeners<ClientEvents>();
  #status: Status = "connecting";
  #error: BellhopError | null = null;
  #userId: string | null = null;
  #rooms = new Map<string, SharedRoom>();
  #requests = new Map<string, Request>();
  #waiting: Waiting[] = []; // publishes, oldest first
  #watchers = new Set<() => void>();
  #ended = new AbortController();
  #keepAlive = new KeepAlive(() => this.send({ action: "ping" }), () => this.#transport.reconnect());
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #expires: number | null = null;
  #stopWatching: () => void = () => {};

  constructor(url: string, options: ConnectOptions) {
    this.#options = options;
    const open: OpenTransport = options.transport ?? ((...how) => new WebSocketTransport(...how));
    this.#transport = open(url, options, {
      token: () => this.#token(),
      connecting: () => this.#set("connecting"),
      open: () => this.#opened(),
      receive: (frame) => {
        this.#keepAlive.received();
        this.#receive(frame);
      },
      lost: (reason) => this.#lost(reason),
    });
    this.#watchNetwork();
  }

  get status(): Status {
    return this.#status;
  }

  get error(): BellhopError | null {
    return this.#error;
  }

  get userId(): string | null {
    return this.#userId;
  }

  get open(): boolean {
    return this.#transport.open;
  }

  /** Aborted by `close`. */
  get closed(): AbortSignal {
    return this.#ended.signal;
  }

  on<E extends keyof ClientEvents>(event: E, handler: (value: ClientEvents[E]) => void): Unsubscribe {
    return this.#listeners.on(event, handler);
  }

  join(name: string, options: { since?: Position } = {}): Room {
    let room = this.#rooms.get(name);
    if (!room) {
      room = new SharedRoom(this, name, options.since ?? null);
      this.#rooms.set(name, room);
    }
    const handle = new Handle(this, room);
    if (this.#status !== "closed") room.enter(handle);
    return handle;
  }

  presence(status: string, data?: unknown): Promise<PresenceResult> {
    this.wish = { status, ...(data !== undefined && { data }) };
    for (const room of this.#rooms.values()) room.wish = null;
    return this.persist({ action: "presence", ...this.wish }, null);
  }

  readNotification(id: string): Promise<PublishResult> {
    return this.persist({ action: "notification:read", notificationId: id }, null);
  }

  call<T>(action: string, { room, data, id }: { room?: string; data?: unknown; id?: string } = {}): Promise<T> {
    const frame = { action, ...(room !== undefined && { room }), ...(data !== undefined && { data }) };
    return id === undefined ? this.request<T>(frame) : this.persist<T>({ ...frame, id }, null);
  }

  reconnect(): void {
    if (this.open) this.#keepAlive.check();
    else this.#transport.reconnect();
  }

  close(): void {
    this.#end(null);
  }

  // —— what rooms need ——

  newId(): string {
    // randomUUID is there on https and on localhost only.
    return globalThis.crypto?.randomUUID?.() ?? Array.from({ length: 4 }, () => Math.random().toString(36).slice(2, 10)).join("");
  }

  /** Sends an action that needs no reply, if the connection is open. */
  send(action: Action): boolean {
    const sent = this.#transport.send(action);
    if (sent) this.#keepAlive.sent();
    return sent;
  }

  /** Sends an action once and resolves to the data of its reply. */
  request<T>(action: Action): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const id = action.id ?? this.newId();
      if (!this.send({ ...action, id })) return reject(new BellhopError("disconnected", "There is no connection.", { retry: true }));
      const timer = setTimeout(() => {
        this.#requests.delete(id);
        reject(new BellhopError("timeout", `The server has not answered ${action.action}.`, { retry: true }));
      }, this.#options.replyTimeout ?? REPLY_TIMEOUT);
      this.#requests.set(id, { resolve, reject, timer });
    });
  }

  /**
   * Sends an action until it is answered: when the connection is open and the room is joined, and again after whatever may
   * be over later. It must be one that may be repeated.
   */
  async persist<T>(
    action: Action, room: SharedRoom | null, signal?: AbortSignal, sending?: (is: boolean) => void,
  ): Promise<T> {
    const own = signal ? null : new AbortController();
    const ended = signal ?? own!.signal;
    const timer = own && setTimeout(() => own.abort(this.#tooLate(action.action)), this.#publishTimeout);
    const close = () => own?.abort(this.#ended.signal.reason);
    if (own && this.closed.aborted) close();
    this.closed.addEventListener("abort", close);
    try {
      for (let tries = 0; ; tries++) {
        await this.#until(() => this.open && (room === null || room.joined || room.error !== null), ended);
        if (room?.error) throw room.error;
        try {
          sending?.(true);
          return await Promise.race([this.request<T>(action), this.#aborted(ended)]);
        } catch (err) {
          if (!(err instanceof BellhopError) || ended.aborted) throw err;
          if (err.code === "not_in_room" && room?.wanted && !room.error) room.lostMembership();
          else if (!mayWorkLater(err)) throw err;
          else await pause(err.retryAfterMs ?? jitter(tries, 250, 5_000), ended);
        } finally {
          sending?.(false);
        }
      }
    } finally {
      if (timer) clearTimeout(timer);
      this.closed.removeEventListener("abort", close);
    }
  }

  /** Notes a publish that waits, and drops the oldest when there are too many while there is no connection. */
  waits(ended: AbortController, what: ClientEvents["dropped"], sending: () => boolean): void {
    if (this.closed.aborted) return ended.abort(this.closed.reason);
    const timer = setTimeout(() => ended.abort(this.#tooLate("publish")), this.#publishTimeout);
    this.#waiting.push({ ended, timer, what, sending });
    if (this.open || this.#waiting.length <= (this.#options.offlineLimit ?? 100)) return;
    const oldest = this.#waiting.find((one) => !one.sending())!;
    this.waited(oldest.ended);
    oldest.ended.abort(new BellhopError("dropped", `Too much waits for the connection: ${oldest.what.event} in ${oldest.what.room} was dropped.`, { retry: true }));
    this.#listeners.emit("dropped", oldest.what);
  }

  /** A publish is settled. */
  waited(ended: AbortController): void {
    const one = this.#waiting.find((each) => each.ended === ended);
    clearTimeout(one?.timer);
    this.#waiting = this.#waiting.filter((each) => each !== one);
  }

  /** The state of this client or of a room has changed. */
  changed(): void {
    for (const [name, room] of this.#rooms) if (room.over) this.#rooms.delete(name);
    for (const look of [...this.#watchers]) look();
  }

  // —— the connection ——

  async #token(): Promise<string> {
    const token = await this.#options.token();
    const claims = readToken(token);
    this.#userId = claims.userId;
    this.#expires = claims.expires;
    return token;
  }

  #opened(): void {
    this.#error = null;
    this.#keepAlive.start();
    this.#renewLater();
    this.#set("open");
    for (const room of [...this.#rooms.values()]) room.tend();
  }

  #lost(reason: BellhopError): void {
    this.#keepAlive.stop();
    clearTimeout(this.#renewal);
    this.#error = reason;
    for (const [id, request] of this.#requests) {
      clearTimeout(request.timer);
      this.#requests.delete(id);
      request.reject(new BellhopError("disconnected", "The connection was lost.", { retry: true }));
    }
    for (const room of [...this.#rooms.values()]) room.disconnected();
    if (reason.code !== "disconnected" || this.#status !== "open") this.#listeners.emit("error", reason);
    if (!reason.retry) return this.#end(reason);
    this.#set("connecting");
  }

  #receive(frame: Frame): void {
    if (frame.batch) {
      for (const each of frame.batch) this.#receive(each);
    } else if (frame.reply !== undefined) {
      this.#answered(frame);
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

  #answered({ reply, ok, data, error }: Frame): void {
    this.#transport.good();
    const request = typeof reply === "string" ? this.#requests.get(reply) : undefined;
    const refusal = ok ? null : refused(error);
    if (refusal && (refusal.code === "expired" || refusal.code === "unauthenticated")) {
      // A new token, on a new connection, and then again what was asked.
      request?.reject(new BellhopError("disconnected", refusal.message, { retry: true, cause: refusal }));
      if (typeof reply === "string") this.#settle(reply);
      return this.#transport.reconnect();
    }
    if (!request) {
      if (refusal) this.#listeners.emit("error", refusal);
      return;
    }
    this.#settle(reply as string);
    if (refusal) request.reject(refusal);
    else request.resolve(data as never);
  }

  #settle(id: string): void {
    clearTimeout(this.#requests.get(id)?.timer);
    this.#requests.delete(id);
  }

  /** Renews the token in place. Where that fails, the server ends the connection in time, and the next has a new token. */
  #renewLater(): void {
    clearTimeout(this.#renewal);
    if (this.#expires === null) return;
    this.#renewal = setTimeout(async () => {
      try {
        const token = await this.#token();
        if (!this.open) return;
        await this.request({ action: "auth", token });
        this.#renewLater();
      } catch (err) {
        if (!this.open) return;
        this.#listeners.emit("error", err instanceof BellhopError ? err : new BellhopError("token", "The token could not be renewed: " + String(err), { retry: true, cause: err }));
        this.#renewal = setTimeout(() => this.#renewLater(), 5_000);
      }
    }, Math.min(renewIn(this.#expires, Date.now()), 2 ** 31 - 1));
  }

  #end(reason: BellhopError | null): void {
    if (this.#status === "closed") return;
    const why = reason ?? new BellhopError("closed", "The client was closed.");
    this.#transport.close();
    this.#keepAlive.stop();
    this.#stopWatching();
    clearTimeout(this.#renewal);
    this.#error = reason;
    this.#ended.abort(why);
    for (const [id, request] of this.#requests) {
      this.#settle(id);
      request.reject(why);
    }
    for (const { ended } of [...this.#waiting]) {
      this.waited(ended);
      ended.abort(why);
    }
    for (const room of [...this.#rooms.values()]) {
      room.end(why);
      room.disconnected();
    }
    this.#rooms.clear();
    this.#set("closed");
  }

  #set(status: Status): void {
    if (this.#status !== status && this.#status !== "closed") {
      this.#status = status;
      this.#listeners.emit("status", status);
    }
    this.changed();
  }

  /** Comes back at once when the network does, and finds out about a connection that has slept. */
  #watchNetwork(): void {
    const page = globalThis as Partial<Pick<Window, "addEventListener" | "removeEventListener">> & { document?: Document };
    if (!page.addEventListener || !page.removeEventListener) return;
    const look = () => {
      if (page.document?.visibilityState !== "hidden") this.reconnect();
    };
    page.addEventListener("online", look);
    page.document?.addEventListener("visibilitychange", look);
    this.#stopWatching = () => {
      page.removeEventListener!("online", look);
      page.document?.removeEventListener("visibilitychange", look);
    };
  }

  #until(ready: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        this.#watchers.delete(look);
        signal.removeEventListener("abort", abort);
        settle();
      };
      const look = () => void (ready() && end(resolve));
      const abort = () => end(() => reject(signal.reason as Error));
      if (signal.aborted) return reject(signal.reason as Error);
      this.#watchers.add(look);
      signal.addEventListener("abort", abort, { once: true });
      look();
    });
  }

  #aborted(signal: AbortSignal): Promise<never> {
    return new Promise((_, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
  }

  get #publishTimeout(): number {
    return this.#options.publishTimeout ?? 60_000;
  }

  #tooLate(action: string): BellhopError {
    return new BellhopError("timeout", `${action} was tried for ${this.#publishTimeout / 1000} s and not answered; it is not known whether it was done.`, { retry: true });
  }
}
