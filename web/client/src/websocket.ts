import ReconnectingWebSocket from "partysocket/ws";
import { BellhopError } from "./error.js";
import { jitter } from "./time.js";
import {
  FIRST_DELAY, MAX_DELAY, encode, noToken, type Action, type ConnectOptions, type Frame, type Transport, type TransportEvents,
} from "./transport.js";

const SUBPROTOCOL = "bellhop.v1";
/** API Gateway cuts every connection after two hours: those that were opened together come back spread over this. */
const DELAY_AFTER_LONG = 4_000;
const LONG = 60 * 60_000;
const HANDSHAKE_TIMEOUT = 15_000;

/** Holds one WebSocket open. Reconnecting itself is partysocket's; the pauses are this client's, for their full jitter. */
export class WebSocketTransport implements Transport {
  #socket: ReconnectingWebSocket;
  #events: TransportEvents;
  #maxDelay: number;
  #attempts = 0; // one more than have failed since the connection was last known to be good
  #openedAt = 0;
  #wake: (() => void) | null = null;
  #closed = false;
  #trying = false; // a handshake is under way or a connection open, whose end is news

  constructor(url: string, options: ConnectOptions, events: TransportEvents) {
    const implementation = options.WebSocket ?? (globalThis as { WebSocket?: unknown }).WebSocket;
    if (!implementation) throw new Error('There is no WebSocket here: npm install ws, and give its class as the option "WebSocket".');
    this.#events = events;
    this.#maxDelay = options.maxDelay ?? MAX_DELAY;
    const socket = new ReconnectingWebSocket(url, () => this.#next(), {
      WebSocket: implementation as typeof WebSocket,
      minReconnectionDelay: 0,
      maxReconnectionDelay: 0,
      connectionTimeout: HANDSHAKE_TIMEOUT,
      maxEnqueuedMessages: 0,
    });
    this.#socket = socket;
    // Not by the on… properties, which partysocket calls itself: some DOMs call them for dispatched events once more.
    socket.addEventListener("open", () => {
      this.#openedAt = Date.now();
      events.open();
    });
    socket.addEventListener("message", ({ data }) => void (typeof data === "string" && data && this.#received(data)));
    socket.addEventListener("close", ({ code }) => this.#lost(new BellhopError("disconnected", `The connection was closed (${code}).`, { retry: true })));
    socket.addEventListener("error", () => this.#lost(new BellhopError("disconnected", "The connection was refused or cut.", { retry: true })));
  }

  get open(): boolean {
    return !this.#closed && this.#socket.readyState === 1;
  }

  send(action: Action): boolean {
    const frame = encode(action);
    return this.open && this.#socket.send(frame);
  }

  good(): void {
    this.#attempts = Math.min(this.#attempts, 1);
  }

  reconnect(): void {
    if (this.#wake) this.#wake();
    else if (this.open) this.#socket.reconnect(1000);
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
    this.#socket.close(1000);
  }

  #received(text: string): void {
    let frame: Frame;
    try {
      frame = JSON.parse(text) as Frame;
    } catch {
      frame = { reply: null, ok: false, error: { code: "internal", message: "The server sent a frame that is no JSON.", retry: false } };
    }
    this.#events.receive(frame);
  }

  #lost(reason: BellhopError): void {
    if (!this.#trying || this.#closed) return;
    this.#trying = false;
    this.#events.lost(reason);
  }

  /** partysocket asks for the subprotocols of each attempt: the token's place, and that of the pause before it. */
  async #next(): Promise<string[]> {
    this.#events.connecting();
    const long = this.#openedAt > 0 && Date.now() - this.#openedAt > LONG;
    this.#openedAt = 0;
    const failed = this.#attempts++;
    if (failed > 0) await this.#pause(jitter(failed - 1, long ? DELAY_AFTER_LONG : FIRST_DELAY, this.#maxDelay));
    if (this.#closed) return [];
    try {
      const token = await this.#events.token();
      this.#trying = true;
      return [SUBPROTOCOL, `bearer.${token}`];
    } catch (err) {
      const reason = noToken(err);
      if (!this.#closed) this.#events.lost(reason);
      throw reason; // partysocket tries again
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wake?.(), ms);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
    });
  }
}
