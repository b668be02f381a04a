import { BellhopError } from "./error.js";
import type { Probe } from "./liveness.js";
import { whyRefused } from "./setup.js";
import { jitter } from "./time.js";
import {
  FIRST_DELAY, MAX_DELAY, encode, noToken, type Action, type ConnectOptions, type Frame, type Transport, type TransportEvents,
} from "./transport.js";

const SUBPROTOCOL = "bellhop.v1";
/** API Gateway cuts every connection after two hours. Another one takes its place before that, at a time that is each one's own. */
const RELIEF = 110 * 60_000;
const SPREAD = 8 * 60_000;
/** So long the old one stays, so that the user is in all rooms by the new one before. */
const OVERLAP = 10_000;
/** Those that were cut all the same, and had been opened together, come back spread over this. */
const DELAY_AFTER_LONG = 4_000;
const LONG = 60 * 60_000;
const HANDSHAKE_TIMEOUT = 15_000;
/** Tells the server that the user is gone, and that it comes back by itself. */
const LEAVING = 1000;
const RETURNING = 4000;
/** An attempt that is younger is let go on when somebody asks for another. */
const PATIENCE = 2_000;

/** A WebSocket as browsers have it, and what the one of the package `ws` has beside that. */
type Socket = WebSocket & Partial<{ ping(): void; on(event: "pong", heard: () => void): void; terminate(): void }>;

/** Holds one WebSocket open. */
export class WebSocketTransport implements Transport {
  probe: Probe | undefined;

  #url: string;
  #class: new (url: string, protocols: string[]) => Socket;
  #events: TransportEvents;
  #maxDelay: number;
  #socket: Socket | null = null;
  #attempt = 0; // counts them: what comes of an earlier one comes too late
  #began = Date.now(); // when the present one did; 0 in the pause before it
  #openedAt = 0;
  #closed = false;
  #failed = 0; // one more than have failed since the connection was last known to be good
  #timer: ReturnType<typeof setTimeout> | undefined; // of the pause, the handshake, or the relief
  #old: Socket | undefined; // that another one has taken the place of

  constructor(url: string, options: ConnectOptions, events: TransportEvents) {
    const implementation = options.WebSocket ?? (globalThis as { WebSocket?: unknown }).WebSocket;
    if (!implementation) throw new Error('There is no WebSocket here: npm install ws, and give its class as the option "WebSocket".');
    if (!/^(ws|http)s?:\/\/./.test(url)) {
      throw new Error(`connect needs the URL of a WebSocket API, such as wss://abc.execute-api.eu-west-1.amazonaws.com/prod, and was given ${JSON.stringify(url)}.`);
    }
    this.#url = url.replace(/^http/, "ws");
    this.#class = implementation as new (url: string, protocols: string[]) => Socket;
    this.#events = events;
    this.#maxDelay = options.maxDelay ?? MAX_DELAY;
    queueMicrotask(() => this.#again());
  }

  get open(): boolean {
    return this.#socket?.readyState === 1;
  }

  send(action: Action): boolean {
    const frame = encode(action);
    if (!this.open) return false;
    this.#socket!.send(frame);
    return true;
  }

  good(): void {
    this.#failed = Math.min(this.#failed, 1);
  }

  reconnect(reason = new BellhopError("disconnected", "The connection was given up for a new one.", { retry: true })): void {
    if (this.#closed) return;
    if (this.open) this.#lost(reason);
    else if (this.#began === 0 || Date.now() - this.#began > PATIENCE) void this.#connect();
  }

  close(): void {
    this.#closed = true;
    this.#drop(true);
  }

  /** Ends what there is of a connection. Nothing is heard of it any more. */
  #drop(politely: boolean): void {
    clearTimeout(this.#timer);
    this.#attempt++;
    for (const socket of [this.#old, this.#socket]) {
      if (politely) socket?.close(LEAVING);
      else if (socket?.terminate) socket.terminate(); // who does not answer does not answer a close either
      else socket?.close(RETURNING);
    }
    this.#old = undefined;
    this.#socket = null;
    this.probe = undefined;
  }

  /** The present attempt, or the connection that it has led to, is over. */
  #lost(reason: BellhopError): void {
    this.#drop(false);
    const attempt = this.#attempt;
    this.#events.lost(reason);
    if (attempt === this.#attempt) this.#again(); // unless it was closed meanwhile
  }

  /** Connects, after a pause if the last attempt has failed. */
  #again(): void {
    if (this.#closed) return;
    this.#began = 0;
    this.#events.connecting();
    const long = this.#openedAt > 0 && Date.now() - this.#openedAt > LONG;
    this.#openedAt = 0;
    const failed = this.#failed++;
    if (failed === 0) return void this.#connect();
    this.#timer = setTimeout(() => void this.#connect(), jitter(failed - 1, long ? DELAY_AFTER_LONG : FIRST_DELAY, this.#maxDelay));
  }

  async #connect(): Promise<void> {
    this.#drop(false);
    const attempt = this.#attempt;
    const present = () => attempt === this.#attempt;
    this.#began = Date.now();
    let token: string | undefined;
    try {
      token = await this.#events.token();
      if (!present()) return;
      this.#listen(this.#dial(token), token, present);
    } catch (err) {
      if (present()) this.#lost(token === undefined ? noToken(err) : new BellhopError("token", whyRefused(this.#url, token, String(err).replace(token, "…"), Date.now()), { retry: true, cause: err }));
    }
  }

  #dial(token: string): Socket {
    return new this.#class(this.#url, [SUBPROTOCOL, `bearer.${token}`]);
  }

  /** Opens another connection, and gives up the present one for it. If it cannot be opened, the cut shows that in time. */
  async #relieve(): Promise<void> {
    const attempt = this.#attempt;
    const token = await this.#events.token().catch(() => "");
    if (!token || attempt !== this.#attempt) return;
    const next = this.#dial(token);
    next.addEventListener("error", () => {}); // without a listener it would be thrown
    next.addEventListener("open", () => {
      if (attempt !== this.#attempt) return next.close(this.#closed ? LEAVING : RETURNING);
      const old = this.#socket!;
      const mine = ++this.#attempt; // nothing is heard of the old one any more
      const present = () => mine === this.#attempt;
      this.#listen(next, token, present);
      this.#old = old;
      clearTimeout(this.#timer);
      this.#events.lost(new BellhopError("disconnected", "Another connection has taken its place.", { retry: true }));
      if (present()) this.#opened(next, present);
    });
  }

  #opened(socket: Socket, present: () => boolean): void {
    clearTimeout(this.#timer);
    this.#openedAt = Date.now();
    if (socket.ping && socket.on) {
      let heard: (() => void) | undefined;
      socket.on("pong", () => present() && heard?.());
      this.probe = (pong) => {
        heard = pong;
        socket.ping!();
      };
    }
    this.#timer = setTimeout(() => {
      this.#old?.close(RETURNING);
      this.#old = undefined;
      this.#timer = setTimeout(() => void this.#relieve(), RELIEF - OVERLAP + Math.random() * SPREAD);
    }, OVERLAP);
    this.#events.open();
  }

  #listen(socket: Socket, token: string, present: () => boolean): void {
    this.#socket = socket;
    const lost = (words: string) => present() && this.#lost(new BellhopError("disconnected", words, { retry: true }));
    const over = (detail: string | undefined, words: string) =>
      present() && lost(this.#openedAt > 0 ? words : whyRefused(this.#url, token, detail, Date.now()));
    this.#timer = setTimeout(() => lost(`${this.#url} has not answered for ${HANDSHAKE_TIMEOUT / 1000} s.`), HANDSHAKE_TIMEOUT);
    socket.addEventListener("open", () => {
      if (present()) this.#opened(socket, present);
    });
    socket.addEventListener("message", ({ data }) => {
      if (present() && typeof data === "string" && data) this.#events.receive(decode(data));
    });
    socket.addEventListener("error", (event) => over((event as { message?: string }).message, "The connection was cut."));
    socket.addEventListener("close", ({ code }) => over(undefined, `The connection was closed (${code}).`));
  }
}

function decode(text: string): Frame {
  try {
    return JSON.parse(text) as Frame;
  } catch {
    return { reply: null, ok: false, error: { code: "internal", message: "The server sent a frame that is no JSON.", retry: false } };
  }
}
