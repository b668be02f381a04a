/** One frame, as it went over the WebSocket. */
export interface Frame {
  id: number;
  /** From this window to the server. */
  out: boolean;
  text: string;
  /** How long the server took for this answer, in milliseconds. */
  took?: number;
}

/** What went over the WebSockets of a window so far. */
export interface Traffic {
  /** The newest, oldest first. */
  frames: readonly Frame[];
  count: number;
  /** Messages as API Gateway counts them: each 32 KB of a frame are one. */
  billed: number;
  /** The time of the last answer, in milliseconds; undefined before there is one. */
  took: number | undefined;
}

const SHOWN = 40;
const BILLED = 32 * 1024;

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
  #traffic: Traffic = { frames: [], count: 0, billed: 0, took: undefined };
  readonly #asked = new Map<string, number>();

  constructor() {
    const [open, saw] = [this.#open, (out: boolean, data: unknown) => this.#saw(out, data)];
    this.WebSocket = class extends WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        open.add(this);
        this.addEventListener("close", () => open.delete(this));
        this.addEventListener("message", ({ data }) => saw(false, data));
      }

      override send(data: Parameters<WebSocket["send"]>[0]): void {
        super.send(data);
        saw(true, data);
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

  readonly getTraffic = (): Traffic => this.#traffic;

  #saw(out: boolean, data: unknown): void {
    const text = String(data);
    const { frames, count, billed } = this.#traffic;
    const frame: Frame = { id: count, out, text };
    const id = idOf(out, text);
    const asked = id !== undefined && !out ? this.#asked.get(id) : undefined;
    if (id !== undefined && out) this.#asked.set(id, performance.now());
    if (asked !== undefined) {
      frame.took = performance.now() - asked;
      this.#asked.delete(id!);
    }
    this.#traffic = {
      frames: [...frames.slice(1 - SHOWN), frame], count: count + 1, billed: billed + Math.max(1, Math.ceil(text.length / BILLED)),
      took: frame.took ?? this.#traffic.took,
    };
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** What joins an answer to its question: the id of an action, or that of an ack of Socket.IO. */
function idOf(out: boolean, text: string): string | undefined {
  const ack = /^4[23](?:\/[^,]*,)?(\d+)/.exec(text)?.[1];
  if (ack !== undefined) return ack;
  if (!text.startsWith("{")) return undefined;
  const frame = JSON.parse(text) as { id?: string; reply?: string };
  return out ? frame.id : frame.reply;
}
