import type { Client, ClientEvents, Room, Status, Unsubscribe } from "./api.js";
import { Calls, type Place } from "./calls.js";
import { BellhopError } from "./error.js";
import { Handle } from "./handle.js";
import { KeepAlive } from "./keepalive.js";
import { Listeners } from "./listeners.js";
import { Requests, needsToken } from "./requests.js";
import { SharedRoom, type Line, type Wish } from "./room.js";
import { readToken, renewIn } from "./token.js";
import { REPLY_TIMEOUT, type Action, type ConnectOptions, type Frame, type OpenTransport, type Transport } from "./transport.js";
import type { Position, PresenceResult, PublishResult, RoomEvent } from "./types.js";
import { WebSocketTransport } from "./websocket.js";

/**
 * Opens a connection to a WebSocket API of Bellhop, and keeps it open.
 *
 * @param url such as wss://abc.execute-api.eu-west-1.amazonaws.com/prod, or ws://127.0.0.1:4000/dev
 * @throws Error where there is no WebSocket and none is given
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
  #userId: string | null = null;
  #rooms = new Map<string, SharedRoom>();
  #requests: Requests;
  #calls: Calls;
  #keepAlive = new KeepAlive(() => this.send({ action: "ping" }), () => this.#transport.reconnect());
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #expires: number | null = null;
  #stopWatching: () => void = () => {};

  constructor(url: string, options: ConnectOptions) {
    this.#options = options;
    this.#requests = new Requests((action) => this.send(action), options.replyTimeout ?? REPLY_TIMEOUT);
    this.#calls = new Calls(this, options.publishTimeout ?? 60_000, options.offlineLimit ?? 100);
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
    return this.persist({ action: "presence", ...this.wish });
  }

  readNotification(id: string): Promise<PublishResult> {
    return this.persist({ action: "notification:read", notificationId: id });
  }

  call<T>(action: string, { room, data, id }: { room?: string; data?: unknown; id?: string } = {}): Promise<T> {
    const frame = { action, ...(room !== undefined && { room }), ...(data !== undefined && { data }) };
    return id === undefined ? this.ask<T>(frame) : this.persist<T>({ ...frame, id });
  }

  reconnect(): void {
    if (this.open) this.#keepAlive.check();
    else this.#transport.reconnect();
  }

  close(): void {
    this.#end(null);
  }

  // —— what rooms and calls need ——

  /** Sends an action that needs no reply, if the connection is open. */
  send(action: Action): boolean {
    const sent = this.#transport.send(action);
    if (sent) this.#keepAlive.sent();
    return sent;
  }

  ask<T>(action: Action): Promise<T> {
    return this.#requests.ask<T>(action);
  }

  persist<T>(action: Action, room: Place | null = null): Promise<T> {
    return this.#calls.add<T>(action, room);
  }

  end(reason: BellhopError, room: Place): void {
    this.#calls.end(reason, room);
  }

  restart(): void {
    this.#transport.reconnect();
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
    this.#requests.fail(new BellhopError("disconnected", "The connection was lost.", { retry: true }));
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

  #answered(frame: Frame): void {
    this.#transport.good();
    const { refusal, known } = this.#requests.answered(frame);
    if (refusal && needsToken(refusal)) this.#transport.reconnect();
    else if (refusal && !known) this.#listeners.emit("error", refusal);
  }

  /** Renews the token in place. Where that fails, the server ends the connection in time, and the next has a new token. */
  #renewLater(): void {
    clearTimeout(this.#renewal);
    if (this.#expires === null) return;
    this.#renewal = setTimeout(async () => {
      try {
        const token = await this.#token();
        if (!this.open) return;
        await this.ask({ action: "auth", token });
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
    this.#requests.fail(why);
    this.#calls.end(why);
    for (const room of [...this.#rooms.values()]) room.disconnected();
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
}
