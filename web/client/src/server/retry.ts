import type { EmitError } from "./errors.js";

/** How often and how long a request is tried. */
export interface RetryOptions {
  /** Most attempts of one request, those that an AWS SDK makes by itself included. 3. */
  attempts?: number;
  /** The longest pause before the second attempt, in milliseconds; it doubles with each, to 2,000 at most. 100. */
  delay?: number;
  /** How long one attempt may take, in milliseconds. 20,000. An attempt that took so long is the last. */
  timeout?: number;
}

const MAX_DELAY = 2_000; // milliseconds

/** The options with their defaults. */
export function limits({ attempts = 3, delay = 100, timeout = 20_000 }: RetryOptions): Required<RetryOptions> {
  return { attempts: Math.max(1, attempts), delay: Math.max(0, delay), timeout };
}

/** Full jitter: programs that were throttled together come back spread out. */
export function pause(delay: number, attempt: number): Promise<void> {
  const most = Math.min(MAX_DELAY, delay * 2 ** (attempt - 1));
  return new Promise((done) => setTimeout(done, Math.random() * most));
}

/** What one attempt gave: a value, or an error and whether to try again. `spent` counts the attempts that were made inside. */
export type Attempt<T> = { value: T } | { error: EmitError; again: boolean; spent?: number };

/** Tries until it works, until it makes no sense, or until the attempts are spent. */
export async function attempt<T>({ attempts, delay }: Required<RetryOptions>, once: () => Promise<Attempt<T>>): Promise<T> {
  for (let spent = 0, turn = 1; ; turn++) {
    const got = await once();
    if ("value" in got) return got.value;
    spent += Math.max(1, got.spent ?? 1);
    if (!got.again || spent >= attempts) throw got.error;
    await pause(delay, turn);
  }
}
