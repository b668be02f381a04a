import { BellhopError } from "./error.js";
import type { Probe } from "./liveness.js";
import type { ErrorCode } from "./types.js";

/** The most that a client may send in one frame, in bytes. */
const MAX_FRAME = 32 * 1024;

/** The defaults of options, in milliseconds, and the bound of the first pause between two attempts to connect. */
export const REPLY_TIMEOUT = 10_000;
export const MAX_DELAY = 20_000;
export const FIRST_DELAY = 1_000;

/** What a client asks for. With an id it is answered. */
export interface Action {
  action: string;
  id?: string;
  [field: string]: unknown;
}

/** What comes back: a reply, an event, several of them, or a complaint of the gateway itself. */
export interface Frame {
  batch?: Frame[];
  reply?: string | null;
  ok?: boolean;
  data?: unknown;
  error?: Refusal;
  event?: string;
  room?: string;
  message?: string; // of the gateway itself
}

/** Why an action was refused. */
export interface Refusal {
  code: ErrorCode;
  message: string;
  retry: boolean;
  retryAfterMs?: number;
}

/** How a client connects. The transport has it too. */
export interface ConnectOptions {
  /** Gives a fresh token. It is asked before each attempt to connect, and before a token expires. */
  token: () => string | Promise<string>;
  /** For runtimes that have none of their own, such as Node 20: the class of the package `ws`. */
  WebSocket?: unknown;
  /** Most publishes that wait for a connection; beyond it the oldest fails with "dropped". 100. */
  offlineLimit?: number;
  /** How long a publish is tried, in milliseconds, before it fails with "timeout". 60,000. */
  publishTimeout?: number;
  /** How long a reply is waited for, in milliseconds. 10,000. */
  replyTimeout?: number;
  /** The longest pause between two attempts to connect, in milliseconds. 20,000. */
  maxDelay?: number;
  /**
   * How long a page may be hidden, in milliseconds, before nothing is pushed to it any more but its user's own room, such as
   * notifications. When it is seen again, it gets what it has missed, in one frame. 0, for ever; 60,000 below a `BellhopProvider`.
   */
  pauseHidden?: number;
  /** What the protocol goes over, such as `socketIO` of `@bellhop/client/socketio`. A WebSocket. */
  transport?: OpenTransport;
}

/** What a transport tells its client. */
export interface TransportEvents {
  /** The token for the next attempt to connect. */
  token(): Promise<string>;
  connecting(): void;
  open(): void;
  receive(frame: Frame): void;
  /** The connection that was open, or about to be, is over. Another attempt follows unless `close` was called. */
  lost(reason: BellhopError): void;
}

/** Holds one connection open, whatever is spoken over it. */
export interface Transport {
  readonly open: boolean;
  /** Asks for a sign of life at no cost, where that can be done. */
  readonly probe?: Probe | undefined;
  /**
   * Sends an action if the connection is open, and says whether it was.
   *
   * @throws BellhopError too_large
   */
  send(action: Action): boolean;
  /** The server has answered: what fails from now on begins with short pauses. */
  good(): void;
  /**
   * Gives the open connection up for a new one, or ends the pause before an attempt. One that has just begun goes on.
   *
   * @param reason why an open connection is given up
   */
  reconnect(reason?: BellhopError): void;
  close(): void;
}

/** Makes a transport, which begins to connect. */
export type OpenTransport = (url: string, options: ConnectOptions, events: TransportEvents) => Transport;

/** @throws BellhopError too_large */
export function encode(action: Action): string {
  const frame = JSON.stringify(action);
  const size = frame.length < MAX_FRAME / 3 ? 0 : new TextEncoder().encode(frame).length;
  if (size > MAX_FRAME) throw new BellhopError("too_large", `A frame may have ${MAX_FRAME} bytes, this has ${size}.`);
  return frame;
}

/** The refusal as the error that callers get. */
export function refused(refusal: Refusal | undefined): BellhopError {
  const { code, message, retry, retryAfterMs } = refusal ?? { code: "internal", message: "The server refused without a reason.", retry: true, retryAfterMs: undefined };
  return new BellhopError(code, message, { retry, ...(retryAfterMs !== undefined && { retryAfterMs }) });
}

/** The failure of a token function. */
export function noToken(err: unknown): BellhopError {
  if (err instanceof BellhopError) return err;
  return new BellhopError("token", `There is no token to connect with: ${String(err)}`, { retry: true, cause: err });
}
