import type { Unsubscribe } from "./api.js";

/** Handlers by name. One that throws does not keep the others from hearing: what it threw is reported as uncaught. */
export class Listeners<E> {
  #handlers = new Map<keyof E, Set<(value: never) => void>>();

  on<K extends keyof E>(name: K, handler: (value: E[K]) => void): Unsubscribe {
    const own = (value: E[K]) => handler(value); // the same function may be given twice
    const set = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, set.add(own as (value: never) => void));
    return () => void set.delete(own as (value: never) => void);
  }

  emit<K extends keyof E>(name: K, value: E[K]): void {
    for (const handler of [...(this.#handlers.get(name) ?? [])] as ((value: E[K]) => void)[]) {
      if (!this.#handlers.get(name)?.has(handler)) continue; // one before it has taken it away
      try {
        handler(value);
      } catch (err) {
        queueMicrotask(() => {
          throw err;
        });
      }
    }
  }

  clear(): void {
    this.#handlers.clear();
  }
}
