import { BellhopError } from "./error.js";
import { onAbort } from "./time.js";

/** So many wait for whoever takes them. */
const LIMIT = 1_000;

/** Values as they come, for `for await`. One that takes too few is told so by an error, once it has taken what waits. */
export class Stream<T> implements AsyncIterableIterator<T> {
  #values: T[] = [];
  #takers: { resolve(result: IteratorResult<T>): void; reject(reason: unknown): void }[] = [];
  #over: { reason?: unknown } | null = null;
  #off: () => void;
  #ended: () => void;

  /** @param ended is called once, when nothing more is to be pushed */
  constructor(signal: AbortSignal | undefined, ended: () => void) {
    this.#ended = ended;
    this.#off = onAbort(signal, () => {
      this.#values = [];
      this.#end({ reason: signal!.reason });
    });
  }

  readonly push = (value: T): void => {
    if (this.#over) return;
    const taker = this.#takers.shift();
    if (taker) taker.resolve({ value, done: false });
    else if (this.#values.length < LIMIT) this.#values.push(value);
    else this.#end({ reason: new BellhopError("dropped", `${LIMIT} events wait, and nobody takes them.`) });
  };

  /** Nothing more comes. What has come is given out before the end. */
  readonly end = (): void => this.#end({});

  next(): Promise<IteratorResult<T>> {
    if (this.#values.length > 0) return Promise.resolve({ value: this.#values.shift()!, done: false });
    return new Promise((resolve, reject) => {
      this.#takers.push({ resolve, reject });
      this.#finish();
    });
  }

  return(): Promise<IteratorResult<T>> {
    this.#values = [];
    this.end();
    return this.next();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #end(how: { reason?: unknown }): void {
    if (this.#over) return;
    this.#over = how;
    this.#off();
    this.#ended();
    this.#finish();
  }

  /** Whoever waits has waited in vain; the first one hears why. */
  #finish(): void {
    if (!this.#over) return;
    for (const { resolve, reject } of this.#takers.splice(0)) {
      if ("reason" in this.#over) reject(this.#over.reason);
      else resolve({ value: undefined, done: true });
      this.#over = {};
    }
  }
}
