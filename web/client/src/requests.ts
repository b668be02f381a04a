import { BellhopError } from "./error.js";
import { refused, type Action, type Frame } from "./transport.js";

interface Pending {
  resolve(data: never): void;
  reject(err: BellhopError): void;
  timer: ReturnType<typeof setTimeout>;
}

/** What was sent on the present connection and is not yet answered, by id. */
export class Requests {
  #send: (action: Action) => boolean;
  #timeout: number;
  #pending = new Map<string, Pending>();

  constructor(send: (action: Action) => boolean, timeout: number) {
    this.#send = send;
    this.#timeout = timeout;
  }

  /** Sends an action once and resolves to the data of its reply. */
  ask<T>(action: Action): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const id = action.id ?? newId();
      if (!this.#send({ ...action, id })) return reject(new BellhopError("disconnected", "There is no connection.", { retry: true }));
      const timer = setTimeout(() => {
        if (this.#pending.get(id) === pending) this.#pending.delete(id);
        reject(new BellhopError("timeout", `The server has not answered ${action.action}.`, { retry: true }));
      }, this.#timeout);
      const pending = { resolve, reject, timer };
      this.#pending.set(id, pending);
    });
  }

  /** Takes in a reply, and gives the refusal that it is, if it is one, and whether it answered anything. */
  answered({ reply, ok, data, error }: Frame): { refusal: BellhopError | null; known: boolean } {
    const pending = typeof reply === "string" ? this.#take(reply) : undefined;
    const refusal = ok ? null : refused(error);
    if (!refusal) pending?.resolve(data as never);
    else if (!needsToken(refusal)) pending?.reject(refusal);
    else pending?.reject(new BellhopError("disconnected", refusal.message, { retry: true, cause: refusal })); // it is asked again on a new connection
    return { refusal, known: pending !== undefined };
  }

  /** Fails all that is not answered. */
  fail(reason: BellhopError): void {
    for (const id of [...this.#pending.keys()]) this.#take(id)!.reject(reason);
  }

  #take(id: string): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    return pending;
  }
}

/** A new token, on a new connection, mends it. */
export function needsToken({ code }: BellhopError): boolean {
  return code === "expired" || code === "unauthenticated";
}

export function newId(): string {
  // randomUUID is there on https and on localhost only.
  return globalThis.crypto?.randomUUID?.() ?? Array.from({ length: 4 }, () => Math.random().toString(36).slice(2, 10)).join("");
}
