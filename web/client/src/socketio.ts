/** The client of this package over a socket of socket.io-client 4. */
import { BellhopError } from "./error.js";
import { jitter } from "./time.js";
import {
  FIRST_DELAY, MAX_DELAY, REPLY_TIMEOUT, encode, noToken, refused,
  type Action, type ConnectOptions, type OpenTransport, type Refusal, type Transport, type TransportEvents,
} from "./transport.js";
import type { RoomEvent } from "./types.js";

export { inOrder, type InOrderOptions, type Ordered } from "./in-order.js";
export type { OpenTransport };

/** What is needed of a socket of socket.io-client; the package itself is not. */
export interface SocketLike {
  readonly connected: boolean;
  /** It is connected, or will be by itself. */
  readonly active: boolean;
  auth: object | ((give: (auth: object) => void) => void);
  readonly io: {
    readonly engine?: { close(): unknown };
    on(event: "reconnect_attempt", handler: () => void): unknown;
    off(event: "reconnect_attempt", handler: () => void): unknown;
  };
  connect(): unknown;
  disconnect(): unknown;
  on(event: string, handler: (...args: any[]) => void): unknown;
  off(event: string, handler: (...args: any[]) => void): unknown;
  onAny(handler: (...args: any[]) => void): unknown;
  offAny(handler: (...args: any[]) => void): unknown;
  emit(event: string, ...args: any[]): unknown;
  timeout(ms: number): { emitWithAck(event: string, ...args: any[]): Promise<any> };
}

/**
 * A transport over Socket.IO, for the option `transport` of `connect` or of a provider:
 *
 * ```ts
 * const transport = socketIO((url) => io(url, { transports: ["websocket"] }));
 * const client = connect("https://app.example", { token, transport });
 * ```
 *
 * Everything works as over a WebSocket of this package's own: what is missed, its order, and joins after a reconnect are
 * the client's affair in both, so the socket's connection state recovery is switched off. Its `auth` is taken over for
 * the option `token`. The application may use the socket too.
 *
 * @param open makes the socket for a url, or gives one that there is
 */
export function socketIO(open: (url: string) => SocketLike): OpenTransport {
  return (url, options, events) => new SocketIOTransport(open(url), options, events);
}

/** Reconnecting is the socket's own, but after refusals, after which it would give up. */
class SocketIOTransport implements Transport {
  #socket: SocketLike;
  #events: TransportEvents;
  #options: ConnectOptions;
  #refusals = 0; // in a row
  #pause: ReturnType<typeof setTimeout> | undefined; // before an attempt of this class's own
  #trying = true; // an attempt is under way or a connection open, whose end is news
  #closed = false;
  #off: (() => void)[] = [];

  constructor(socket: SocketLike, options: ConnectOptions, events: TransportEvents) {
    this.#socket = socket;
    this.#options = options;
    this.#events = events;
    if (socket.connected) socket.io.engine?.close(); // to come back with a token that is known here
    const auth = socket.auth;
    // A recovery would bring back rooms that were left meanwhile.
    socket.auth = (give) => void this.#token((token) => give({ token, pid: "" }));
    this.#off = [
      () => (socket.auth = auth),
      this.#on("connect", () => events.open()),
      this.#on("disconnect", (reason: string) => this.#lost(new BellhopError("disconnected", `The connection was closed (${reason}).`, { retry: true }))),
      this.#on("connect_error", (err: Error & { data?: Refusal }) => this.#failed(err)),
    ];
    const any = (event: string, ...args: unknown[]) => this.#received(event, args);
    socket.onAny(any);
    const attempt = () => this.#attempt();
    socket.io.on("reconnect_attempt", attempt);
    this.#off.push(() => socket.offAny(any), () => socket.io.off("reconnect_attempt", attempt));
    socket.connect();
  }

  get open(): boolean {
    return !this.#closed && this.#trying && this.#socket.connected;
  }

  send(action: Action): boolean {
    encode(action); // too large is said at once
    if (!this.open) return false;
    const { action: name, ...fields } = action;
    if (action.id === undefined && name !== "ping") {
      this.#socket.emit(name, fields);
      return true;
    }
    // With a timeout of its own, since otherwise the answer's place depends on the options of the socket.
    this.#socket.timeout(this.#options.replyTimeout ?? REPLY_TIMEOUT).emitWithAck(name, fields).then(
      (reply: { ok: boolean; data?: unknown; error?: Refusal }) => {
        if (this.#closed) return;
        this.#events.receive(action.id === undefined ? { event: "pong" } : { ...reply, reply: action.id });
      },
      () => {}, // the client has its own timer
    );
    return true;
  }

  good(): void {
    this.#refusals = 0;
  }

  reconnect(reason = new BellhopError("disconnected", "The connection was given up for a new one.", { retry: true })): void {
    if (this.#closed) return;
    if (this.open) {
      this.#lost(reason); // before the socket says the same in its words
      if (!this.#closed) this.#socket.io.engine?.close();
    } else if (!this.#trying) {
      this.#socket.disconnect(); // ends a pause of socket.io-client's, as nothing else does
      this.#again();
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#pause);
    for (const off of this.#off) off();
    this.#socket.disconnect();
  }

  #on(event: string, handler: (...args: any[]) => void): () => void {
    this.#socket.on(event, handler);
    return () => this.#socket.off(event, handler);
  }

  async #token(give: (token: string) => void): Promise<void> {
    let token: string;
    try {
      token = await this.#events.token();
    } catch (err) {
      this.#socket.disconnect(); // it would wait for the token forever
      return this.#lost(noToken(err));
    }
    if (!this.#closed) give(token);
  }

  /** An attempt has failed: on the way, or by a refusal of the server's. */
  #failed(err: Error & { data?: Refusal; context?: { responseText?: string } }): void {
    if (this.#socket.active) return this.#lost(new BellhopError("disconnected", `The connection was refused or cut: ${err.message}${said(err.context?.responseText)}`, { retry: true }));
    const reason = refused(err.data ?? { code: "forbidden", message: err.message, retry: false }); // "Invalid namespace" says no more
    const mended = reason.code === "expired" || reason.code === "unauthenticated"; // by another token
    this.#lost(mended ? new BellhopError(reason.code, reason.message, { retry: true, cause: reason }) : reason);
  }

  /** Tells of the end of a connection or an attempt, and sees to it that there is another. */
  #lost(reason: BellhopError): void {
    if (this.#closed || !this.#trying) return;
    this.#trying = false;
    this.#events.lost(reason); // which may close
    if (this.#closed || this.#socket.active) return;
    clearTimeout(this.#pause);
    const delay = reason.retryAfterMs ?? jitter(this.#refusals++, FIRST_DELAY, this.#options.maxDelay ?? MAX_DELAY);
    this.#pause = setTimeout(() => this.#again(), delay);
  }

  #again(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#attempt();
    this.#socket.connect();
  }

  #attempt(): void {
    this.#trying = true;
    this.#events.connecting();
  }

  #received(event: string, [data, about]: unknown[]): void {
    if (event === "refused") return this.#events.receive({ reply: null, ok: false, error: data as Refusal });
    const { added, ...rest } = (about ?? {}) as Partial<RoomEvent> & { added?: string[] };
    const plain = added ? published(data as object, added) : data;
    this.#events.receive({ ...rest, event, ...(plain !== null && { data: plain }) });
  }
}

/** What the server has answered to polling, which socket.io-client keeps to itself. */
function said(answer: string | undefined): string {
  try {
    const { message } = JSON.parse(answer!) as { message?: string };
    return message ? `: ${message}` : "";
  } catch {
    return "";
  }
}

/** The data of an event as it was published: the server adds fields for handlers that look at nothing else. */
function published(data: object, added: readonly string[]): object | null {
  const own = Object.entries(data).filter(([field]) => !added.includes(field));
  return own.length > 0 ? Object.fromEntries(own) : null;
}
