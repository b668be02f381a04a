/**
 * A small object with a state that React can read by useSyncExternalStore. It runs while somebody listens: it starts with
 * the first listener, and stops a microtask after the last, so that StrictMode, Fast Refresh and a move from one page to
 * another, which take a listener away and bring it back at once, stop nothing.
 */
export abstract class Store<S extends object> {
  readonly #initial: S;
  #state: S;
  #running = false;
  #scheduled = false;
  readonly #listeners = new Set<() => void>();

  constructor(initial: S) {
    this.#initial = initial;
    this.#state = initial;
  }

  /** Called when the first listener comes. */
  protected abstract start(): void;

  /** Called when the last listener has been gone for a microtask. It leaves no timer behind. */
  protected abstract stop(): void;

  /** Gives the state as of now. What has not changed in it must be the same value as before. */
  protected abstract snapshot(): S;

  protected get running(): boolean {
    return this.#running;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    const each = () => listener(); // the same function may listen twice
    this.#listeners.add(each);
    if (!this.#running) {
      this.#running = true;
      this.start();
      this.flush();
    }
    return () => {
      this.#listeners.delete(each);
      queueMicrotask(() => {
        if (!this.#running || this.#listeners.size > 0) return;
        this.#running = false;
        this.stop();
      });
    };
  };

  readonly getSnapshot = (): S => this.#state;

  /** What a server renders, and a browser while it hydrates that. */
  readonly getServerSnapshot = (): S => this.#initial;

  /** Something has changed. Changes that come together, as after a reconnect, are shown together. */
  protected changed(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      if (this.#scheduled) this.flush();
    });
  }

  /** Shows what has changed now: for what the user has just done. */
  protected flush(): void {
    this.#scheduled = false;
    const next = this.snapshot();
    if (same(this.#state, next)) return;
    this.#state = next;
    for (const listener of [...this.#listeners]) listener();
  }
}

function same<S extends object>(a: S, b: S): boolean {
  const keys = Object.keys(b) as (keyof S)[];
  return keys.length === Object.keys(a).length && keys.every((key) => Object.is(a[key], b[key]));
}
