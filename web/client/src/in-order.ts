/** The order of a room's log for a socket of socket.io-client that listens by itself. */

/** What is needed of a socket. */
interface Hears {
  onAny(handler: (...args: any[]) => void): unknown;
  offAny(handler: (...args: any[]) => void): unknown;
}

/** How long {@link inOrder} waits. */
export interface InOrderOptions {
  /** How long an event may be held for those before it, in milliseconds. 500. */
  wait?: number;
}

/** What {@link inOrder} gives. */
export interface Ordered {
  /** Hears an event, with the arguments that `socket.on` gives. */
  on(event: string, handler: (...args: any[]) => void): () => void;
  /** Hears nothing any more, and hands on what is held. */
  end(): void;
}

/** What is remembered of a room's past: seqs that came, and those that were given up. */
const REMEMBERED = 1_000;

/**
 * Hands the logged events of each room on in their order, and once, to handlers of a socket of socket.io-client. Pushes of functions
 * that run at the same time may overtake each other: an event that is early is held until those before it are there, or for
 * `wait`, as is the first of a room, whose place is not known. One that comes after its turn was given up is handed on late.
 *
 *     const order = inOrder(socket);
 *     order.on("message:new", (data, meta) => show(data));
 */
export function inOrder(socket: Hears, { wait = 500 }: InOrderOptions = {}): Ordered {
  const rooms = new Map<string, RoomOrder>();
  const handlers = new Map<string, Set<(...args: any[]) => void>>();
  const give = (event: string, args: unknown[]) => {
    for (const handler of [...(handlers.get(event) ?? [])]) handler(...args);
  };
  const hear = (event: string, ...args: unknown[]) => {
    const { room, seq } = (args[1] ?? {}) as { room?: unknown; seq?: unknown };
    if (typeof room !== "string" || typeof seq !== "number") return give(event, args);
    const order = rooms.get(room) ?? new RoomOrder(wait);
    rooms.set(room, order);
    order.take(seq, () => give(event, args));
  };
  socket.onAny(hear);
  return {
    on(event, handler) {
      const set = handlers.get(event) ?? new Set();
      handlers.set(event, set.add(handler));
      return () => void set.delete(handler);
    },
    end() {
      socket.offAny(hear);
      for (const order of rooms.values()) order.giveUp();
    },
  };
}

class RoomOrder {
  #next: number | undefined;
  readonly #held = new Map<number, () => void>();
  /** Seqs that are over, and whether their event came. */
  readonly #past = new Map<number, boolean>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly wait: number) {}

  take(seq: number, give: () => void): void {
    if (this.#next !== undefined && seq < this.#next) return this.#late(seq, give);
    this.#held.set(seq, give);
    this.#go();
  }

  /** What is held goes on as it is: nothing more is waited for. */
  readonly giveUp = (): void => {
    const first = Math.min(...this.#held.keys());
    if (first === Infinity) return;
    for (let seq = Math.max(this.#next ?? first, first - REMEMBERED); seq < first; seq++) this.#over(seq, false);
    this.#next = first;
    this.#go();
  };

  #late(seq: number, give: () => void): void {
    const came = this.#past.get(seq);
    if (came) return; // it comes twice, as after a recovery
    this.#over(seq, true);
    if (came === undefined) this.#next = seq + 1; // the log began anew
    give();
  }

  #go(): void {
    clearTimeout(this.#timer);
    for (let give; this.#next !== undefined && (give = this.#held.get(this.#next)); ) {
      this.#held.delete(this.#next);
      this.#over(this.#next++, true);
      give();
    }
    if (this.#held.size > 0) this.#timer = setTimeout(this.giveUp, this.wait);
  }

  #over(seq: number, came: boolean): void {
    this.#past.set(seq, came);
    if (this.#past.size > REMEMBERED) this.#past.delete(this.#past.keys().next().value!);
  }
}
