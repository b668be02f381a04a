/** API Gateway closes a connection after ten minutes without a frame. */
const IDLE = 9 * 60_000;
const PONG_WITHIN = 5_000;

/** Sends a ping when nothing was heard or said for long, and says when a connection only looks open. */
export class KeepAlive {
  #ping: () => boolean;
  #dead: () => void;
  #last = 0;
  #idle: ReturnType<typeof setTimeout> | undefined;
  #pong: ReturnType<typeof setTimeout> | undefined;

  constructor(ping: () => boolean, dead: () => void) {
    this.#ping = ping;
    this.#dead = dead;
  }

  start(): void {
    this.stop();
    this.#last = Date.now();
    this.#wait(IDLE);
  }

  stop(): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#pong);
    this.#idle = this.#pong = undefined;
  }

  /** A frame was sent. */
  sent(): void {
    this.#last = Date.now();
  }

  /** A frame has come, so the connection is alive. */
  received(): void {
    this.#last = Date.now();
    clearTimeout(this.#pong);
    this.#pong = undefined;
  }

  /** Finds out whether the connection is alive. */
  check(): void {
    if (this.#pong !== undefined || !this.#ping()) return;
    this.#pong = setTimeout(() => {
      this.#pong = undefined;
      this.#dead();
    }, PONG_WITHIN);
  }

  #wait(ms: number): void {
    this.#idle = setTimeout(() => {
      const left = this.#last + IDLE - Date.now();
      if (left > 0) return this.#wait(left);
      this.check();
      this.#last = Date.now();
      this.#wait(IDLE);
    }, ms);
  }
}
