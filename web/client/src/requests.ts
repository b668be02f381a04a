import { BellhopError } from "./error.js";
import { Pacer, type Kind } from "./pacer.js";
import { refused, type Action, type Frame } from "./transport.js";

/** What is asked is decided when its turn comes; null where it is needless by then. */
export type Ask = () => Action | null;

interface Pending {
  ask: Ask;
  kind: Kind;
  resolve(data: never): void;
  reject(err: unknown): void;
  /** What it was then, with its id. */
  action?: Action & { id: string };
  timer?: ReturnType<typeof setTimeout>;
}

/** What requests need of their client. */
export interface Wire {
  /** Sends an action if the connection is open, and says whether it was. */
  send(action: Action): boolean;
  /** An answer is awaited from now on. */
  asked(): void;
  /** None has come in time. */
  unanswered(): void;
}

/**
 * What is asked on the present connection, each once: it waits for its turn, is sent, and waits for its reply. What was too
 * much for the server was not done, and waits for another turn.
 */
export class Requests {
  readonly pacer = new Pacer();

  #wire: Wire;
  #timeout: number;
  #pending = new Set<Pending>();

  constructor(wire: Wire, timeout: number) {
    this.#wire = wire;
    this.#timeout = timeout;
  }

  /** Resolves to the data of the reply; to null if it was needless when its turn came. */
  ask<T>(ask: Ask, kind: Kind = "call"): Promise<T | null> {
    return new Promise<T | null>((resolve, reject) => {
      const pending: Pending = { ask, kind, resolve, reject };
      this.#pending.add(pending);
      this.#queue(pending);
    });
  }

  /** Takes in a reply, and gives the refusal that it is, if nobody else hears of it. */
  answered({ reply, ok, data, error }: Frame): BellhopError | null {
    const refusal = ok ? null : refused(error);
    const pending = typeof reply === "string" ? [...this.#pending].find(({ action }) => action?.id === reply) : undefined;
    if (refusal?.code === "rate_limited") {
      this.pacer.refused(refusal.retryAfterMs);
      if (pending) this.#queue(pending);
      return pending ? null : refusal;
    }
    if (!pending) return refusal;
    this.pacer.answered();
    this.#forget(pending);
    if (!refusal) pending.resolve(data as never);
    else if (!needsToken(refusal)) pending.reject(refusal);
    else pending.reject(new BellhopError("disconnected", refusal.message, { retry: true, cause: refusal })); // it is asked again on another
    return refusal && needsToken(refusal) ? refusal : null;
  }

  /** Fails all that is not answered: there is no connection any more. */
  fail(reason: BellhopError): void {
    this.pacer.stop();
    for (const pending of [...this.#pending]) {
      this.#forget(pending);
      pending.reject(reason);
    }
  }

  #queue(pending: Pending): void {
    clearTimeout(pending.timer);
    this.pacer.add(pending.kind, () => this.#pending.has(pending) && this.#send(pending));
  }

  #send(pending: Pending): boolean {
    try {
      const action = pending.action ?? pending.ask();
      if (!action) {
        this.#forget(pending);
        pending.resolve(null as never);
        return false;
      }
      pending.action = { ...action, id: action.id ?? newId() };
      if (!this.#wire.send(pending.action)) throw new BellhopError("disconnected", "There is no connection.", { retry: true });
      pending.timer = setTimeout(() => {
        this.#forget(pending);
        pending.reject(new BellhopError("timeout", `The server has not answered ${action.action}.`, { retry: true }));
        this.#wire.unanswered();
      }, this.#timeout);
    } catch (err) { // which may also be too large
      this.#forget(pending);
      pending.reject(err);
      return false;
    }
    this.#wire.asked();
    return true;
  }

  #forget(pending: Pending): void {
    clearTimeout(pending.timer);
    this.#pending.delete(pending);
  }
}

/** A new token, on a new connection, mends it. */
export function needsToken({ code }: BellhopError): boolean {
  return code === "expired" || code === "unauthenticated";
}

export function newId(): string {
  // randomUUID is there on https and on localhost only, and React Native has no crypto at all.
  return globalThis.crypto?.randomUUID?.() ?? Array.from({ length: 4 }, () => Math.random().toString(36).slice(2, 10)).join("");
}
