import type { ErrorCode, LocalErrorCode } from "./types.js";

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
