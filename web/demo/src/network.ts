/**
 * The network of this window, which the page can cut to show what becomes of that: the WebSocket is really closed, so that
 * the server forgets it, and another attempt to connect gets its token only when the network is back.
 */
export class Network {
  /** For the option of the same name of `connect`. */
  readonly WebSocket: typeof WebSocket;

  readonly #open = new Set<WebSocket>();
  readonly #listeners = new Set<() => void>();
  #until = 0;
  #back: Promise<void> = Promise.resolve();

  constructor() {
    const open = this.#open;
    this.WebSocket = class extends WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        open.add(this);
        this.addEventListener("close", () => open.delete(this));
      }
    };
  }

  /** Cuts it for this time. */
  cut(ms: number): void {
    if (this.#until) return;
    this.#until = Date.now() + ms;
    this.#back = new Promise((resolve) => setTimeout(resolve, ms)).then(() => {
      this.#until = 0;
      this.#changed();
    });
    for (const socket of this.#open) socket.close();
    this.#changed();
  }

  /** Resolves when there is a network. */
  back(): Promise<void> {
    return this.#back;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Until when it is cut, in Unix milliseconds; 0 when it is not. */
  readonly getUntil = (): number => this.#until;

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
