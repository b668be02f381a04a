import { EmitError, asEmitError } from "./errors.js";

/**
 * Takes commands to the emit function. `lambda`, `sqs` and `http` make those there are; another one can wrap them, or
 * publish on a bus of your own.
 */
export interface Transport {
  /** Outcomes have answers. */
  readonly answers: boolean;
  /**
   * Hands over commands, each a JSON object of at most 200 KB, to be run in order if the transport keeps one. It gives an
   * outcome for each, in the same order.
   *
   * @param signal gives up what is not sent: the emitter rejects by itself then
   */
  send(commands: readonly string[], signal?: AbortSignal): Promise<readonly Outcome[]>;
}

/** What became of one command. */
export interface Outcome {
  /** The JSON that the function answered, parsed; undefined if the transport brings no answers. */
  answer?: unknown;
  /** The command was not handed over, or that is not known. */
  error?: EmitError;
}

const MAX_TOGETHER = 10; // commands of one request: what SQS takes, and what one invocation gets through
const MAX_REQUEST = 250 * 1024; // bytes: SQS and asynchronous invocations take 256 KB everywhere, in some places more

const utf8 = new TextEncoder();

/** The size of a text in bytes. */
export function bytes(text: string): number {
  return utf8.encode(text).length;
}

/** Groups commands, in order, into as few requests as the limits allow. */
export function requests(commands: readonly string[]): string[][] {
  const out: string[][] = [];
  let size = 0;
  for (const command of commands) {
    const more = bytes(command) + 1;
    const last = out.at(-1);
    if (last && last.length < MAX_TOGETHER && size + more <= MAX_REQUEST) {
      last.push(command);
      size += more;
      continue;
    }
    out.push([command]);
    size = more + "[]".length;
  }
  return out;
}

/**
 * Sends commands with one invocation after the other, several in each as an array. After an invocation that failed there
 * is none, so that the order is kept when the caller repeats what failed.
 */
export async function invoke(commands: readonly string[], call: (payload: string) => Promise<unknown>): Promise<Outcome[]> {
  const out: Outcome[] = [];
  for (const together of requests(commands)) {
    let answer: unknown;
    try {
      answer = await call(together.length === 1 ? together[0]! : `[${together.join(",")}]`);
    } catch (thrown) {
      const error = asEmitError(thrown);
      out.push(...together.map(() => ({ error })));
      const { code, message, retry } = error;
      const notSent = new EmitError(code, `not sent, because a command before it failed: ${message}`, { retry, cause: error });
      while (out.length < commands.length) out.push({ error: notSent });
      return out;
    }
    out.push(...apart(answer, together.length));
  }
  return out;
}

/** Takes the answer to n commands apart; undefined is that of an invocation that nobody waits for. */
function apart(answer: unknown, n: number): Outcome[] {
  if (n === 1 || answer === undefined) return Array.from({ length: n }, () => (answer === undefined ? {} : { answer }));
  if (!Array.isArray(answer)) {
    // one refusal of everything is an answer to each; a single success cannot be
    if (typeof answer === "object" && answer !== null && "ok" in answer && answer.ok === true) {
      const error = new EmitError("function", `the function gave one answer to ${n} commands`, { retry: true });
      return Array.from({ length: n }, () => ({ error }));
    }
    return Array.from({ length: n }, () => ({ answer }));
  }
  const list: unknown[] = answer;
  const missing = new EmitError("function", `the function gave ${list.length} answers to ${n} commands`, { retry: true });
  return Array.from({ length: n }, (_, i) => (i < list.length ? { answer: list[i] } : { error: missing }));
}

/** Reads what a function answered. */
export function parse(name: string, text: string): unknown {
  if (text === "") throw new EmitError("function", `the function ${name} answered nothing`, { retry: true });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EmitError("function", `the function ${name} answered no JSON: ${text.slice(0, 200)}`, { cause });
  }
}

/**
 * Reads what Lambda answers for a function that threw or ran out of time:
 * https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html. What it had done until then is not known.
 */
export function functionError(name: string, kind: string, text: string): EmitError {
  let said = text.slice(0, 200);
  try {
    const payload: unknown = JSON.parse(text);
    if (typeof payload === "object" && payload !== null && "errorMessage" in payload) {
      said = "errorType" in payload ? `${String(payload.errorType)}: ${String(payload.errorMessage)}` : String(payload.errorMessage);
    }
  } catch {
    // shown as it is
  }
  return new EmitError("function", `the function ${name} failed (${kind}): ${said}`, { retry: true });
}

/** The end of one attempt: its own time, or that it is given up. */
export function ending(timeout: number, signal: AbortSignal | undefined): AbortSignal {
  const late = AbortSignal.timeout(timeout);
  return signal ? AbortSignal.any([late, signal]) : late;
}
