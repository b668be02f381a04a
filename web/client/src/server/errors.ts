import type { ErrorCode } from "../types.js";

/** What goes wrong on the way to the emit function, and is not an answer of it. */
export type TransportErrorCode =
  /** Nothing came back: the connection failed or was cut off, so it is not known whether the command was done. */
  | "network"
  /** No answer came in time; it is not known whether the command was done. */
  | "timeout"
  /** AWS, or the emulator, was too busy to take the command, or failed itself. */
  | "throttled"
  /** The emit function failed, or answered what no emit function does. */
  | "function"
  /** AWS, or the emulator, does not take the command: permissions, a wrong name, no credentials. */
  | "refused"
  /** The call asks something, and the transport brings no answers. */
  | "no_answer"
  /** A setting or a package is missing. */
  | "config";

/** Why a call failed: a code of the protocol when Bellhop refused it, otherwise a {@link TransportErrorCode}. */
export type EmitErrorCode = ErrorCode | TransportErrorCode;

/** What became of one target: a place in a room's log, or an error. Ephemeral events and connections have no place. */
export interface TargetResult {
  /** undefined for a connection. */
  room?: string;
  /** undefined for a room. */
  connection?: string;
  epoch?: string;
  seq?: number;
  id?: string;
  /** Unix time in milliseconds. */
  ts?: number;
  /** The connection is closed. */
  gone?: boolean;
  /** Without one the event was delivered, or will be. */
  error?: { code: EmitErrorCode; message: string; retry: boolean };
}

/** What an {@link EmitError} can say beside its code and message. */
export interface EmitErrorOptions {
  retry?: boolean;
  retryAfterMs?: number | undefined;
  id?: string;
  results?: readonly TargetResult[];
  cause?: unknown;
}

/** The error of every call of an emitter. */
export class EmitError extends Error {
  override readonly name = "EmitError";
  readonly code: EmitErrorCode;
  /** The same call may work later. Repeat a publish with `id`, so that it is not logged twice. */
  readonly retry: boolean;
  /** With "rate_limited": after how many milliseconds it may work. */
  readonly retryAfterMs: number | undefined;
  /** The id of the publish that failed, its own or the one that was made. */
  readonly id: string | undefined;
  /** What became of each target of the publish, as far as it is known: some may have got the event. */
  readonly results: readonly TargetResult[] | undefined;

  constructor(code: EmitErrorCode, message: string, { retry = false, retryAfterMs, id, results, cause }: EmitErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retry = retry;
    this.retryAfterMs = retryAfterMs;
    this.id = id;
    this.results = results;
  }
}

/** The same error, said about one publish. */
export function about(error: EmitError, id: string | undefined, results: readonly TargetResult[]): EmitError {
  const { code, message, retry, retryAfterMs, cause } = error;
  return new EmitError(code, message, { retry, retryAfterMs, results, cause: cause ?? error, ...(id === undefined ? {} : { id }) });
}

/** A call that can never work as it is. */
export function badRequest(message: string): EmitError {
  return new EmitError("bad_request", message);
}

/** Whatever was thrown, as an error of this package. */
export function asEmitError(thrown: unknown): EmitError {
  if (thrown instanceof EmitError) return thrown;
  return new EmitError("refused", `the command could not be sent: ${messageOf(thrown)}`, { cause: thrown });
}

/** What an error says; fetch hides the reason in its cause. */
export function messageOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { cause } = thrown;
  const reason = cause instanceof Error ? cause.message || codeOf(cause) : "";
  const said = thrown.message || codeOf(thrown) || thrown.name;
  return reason ? `${said}: ${reason}` : said;
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
