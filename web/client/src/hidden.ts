import { BellhopError } from "./error.js";
import { isHidden } from "./liveness.js";
import type { Ask } from "./requests.js";

/** What is needed of the client. */
export interface Paused {
  ask<T>(ask: Ask): Promise<T | null>;
  restart(why: string, cause?: unknown): void;
  /** Nothing is pushed of these rooms any more. */
  pause(rooms: string[]): void;
  /** Nobody need do without what was not pushed any more. */
  resume(): void;
}

/** Stops what is pushed to a page that nobody has seen for a while, and is paid for, until somebody sees it again. */
export class Hidden {
  #line: Paused;
  #patience: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #paused = false;
  #asked: Promise<void> | undefined; // the last time

  /** @param patience how long a page may be hidden before, in milliseconds; 0 is for ever */
  constructor(line: Paused, patience: number) {
    this.#line = line;
    this.#patience = patience;
  }

  /** A pause was asked for, and is wanted. */
  get paused(): boolean {
    return this.#paused;
  }

  /** The page is hidden, or a connection is open. */
  look(): void {
    clearTimeout(this.#timer);
    if (this.#patience === 0 || this.#paused || !isHidden()) return;
    this.#timer = setTimeout(() => {
      this.#paused = true;
      this.#asked = this.#ask();
    }, this.#patience);
  }

  /** The page is seen. The server runs frames at the same time: a join before the answer to the pause might be paused by it. */
  async shown(): Promise<void> {
    clearTimeout(this.#timer);
    if (!this.#paused) return;
    this.#paused = false;
    await this.#asked;
    this.#line.resume();
  }

  /** The connection is gone, and the pause with it. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#paused = false;
  }

  async #ask(): Promise<void> {
    try {
      const answer = await this.#line.ask<{ rooms: string[] }>(() => (this.paused ? { action: "pause" } : null));
      if (answer) this.#line.pause(answer.rooms);
    } catch (err) {
      // What was not answered may still be done, whenever. A server that refuses goes on pushing.
      if (err instanceof BellhopError && err.code === "timeout") this.#line.restart(err.message, err);
    }
  }
}
