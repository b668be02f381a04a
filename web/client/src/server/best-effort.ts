import type { Emitter, Helpers, Outcomes } from "./emitter.js";
import { EmitError, asEmitError } from "./errors.js";

/** How long {@link bestEffort} waits, and whom it tells. */
export interface BestEffortOptions {
  /** How long a call may take, in milliseconds. 2,000. What it has begun goes on after that, if the program does. */
  within?: number;
  /** Hears of what failed. It is written to `console.error`. */
  report?: (error: EmitError, helper: keyof Helpers) => void;
}

/**
 * The helpers of an emitter for what is done already when it is told: a server action that has written its row is not to fail,
 * or to hang, because nobody can be told of it now. No call rejects, and none takes longer than `within`; one that failed
 * has `error`.
 *
 *     export const socketEvents = bestEffort(emitter);
 */
export function bestEffort(emitter: Helpers, { within = 2_000, report = complain }: BestEffortOptions = {}): Helpers<Outcomes> {
  const guarded = (helper: keyof Helpers) => async (...call: unknown[]): Promise<Outcomes> => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new EmitError("timeout", `no answer within ${within} ms`, { retry: true })), within);
    });
    try {
      const told = (emitter[helper] as (...call: unknown[]) => ReturnType<Emitter["publish"]>)(...call);
      return await Promise.race([told, late]);
    } catch (thrown) {
      const error = asEmitError(thrown);
      report(error, helper);
      return { id: error.id, results: error.results ?? [], error };
    } finally {
      clearTimeout(timer);
    }
  };
  return {
    newMessage: guarded("newMessage"), messageDeleted: guarded("messageDeleted"), newNotification: guarded("newNotification"),
    presenceChanged: guarded("presenceChanged"), buddyGoalCompleted: guarded("buddyGoalCompleted"), buddyCheckIn: guarded("buddyCheckIn"),
    userTyping: guarded("userTyping"), userStoppedTyping: guarded("userStoppedTyping"), publish: guarded("publish"),
  };
}

function complain(error: EmitError, helper: keyof Helpers): void {
  console.error(`Bellhop was not told by ${helper}, and the rest goes on: ${error.message} (${error.code})`);
}
