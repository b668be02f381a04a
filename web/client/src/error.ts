import type { ErrorCode } from "./types.js";

/** What this client refuses by itself, without asking the server. */
export type LocalErrorCode =
  /** No answer came in time, and it is not known whether the action was done. */
  | "timeout"
  /** There is no connection, and the action is not one that waits for one. */
  | "disconnected"
  /** The client was closed, or the room left. */
  | "closed"
  /** More was queued while offline than `offlineLimit` allows; the oldest was dropped. */
  | "dropped"
  /** The token function failed. */
  | "token";

/** A refusal by the server, or by this client itself. `code` says why, `retry` whether the same call may work later. */
export class BellhopError extends Error {
  override readonly name = "BellhopError";
  readonly code: ErrorCode | LocalErrorCode;
  readonly retry: boolean;
  /** With "rate_limited": after how many milliseconds the call may work. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode | LocalErrorCode, message: string, options: { retry?: boolean; retryAfterMs?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? false;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** What is done again as long as there is time: the server says so, or it is not known what became of it. */
export function mayWorkLater(err: unknown): err is BellhopError {
  return err instanceof BellhopError && (err.retry || err.code === "disconnected" || err.code === "timeout");
}
