import type { JoinResult, Position, RoomEvent } from "./types.js";

/** How many events are held back for an earlier one. Those beyond are dropped, but known: the gap lasts until a join brings them. */
const HELD = 500;

export type Logged = RoomEvent & { seq: number };

/**
 * One room's log as far as this client has seen it. It hands on each event once and in the order of seq: what is known is
 * dropped, and what comes before its turn is held until a join has brought what is missing.
 */
export class Order {
  #position: Position | null;
  #held = new Map<number, Logged>();
  #deliver: (event: Logged) => void;
  #newest = 0; // of what was pushed over the present connection
  #over = false;
  #settled = false; // the present connection has joined, so that pushed events are known to be of this epoch

  constructor(since: Position | null, deliver: (event: Logged) => void) {
    this.#position = since;
    this.#deliver = deliver;
  }

  get position(): Position | null {
    return this.#position && { ...this.#position };
  }

  /** Something is missing between what was handed on and what was pushed, held or not. */
  get gap(): boolean {
    return this.#settled && this.#newest > this.#position!.seq;
  }

  /** Takes in an event that was pushed. */
  push(event: Logged): void {
    if (this.#over || (this.#settled && event.seq <= this.#position!.seq)) return;
    this.#newest = Math.max(this.#newest, event.seq);
    if (this.#held.size >= HELD && !this.#held.has(event.seq)) {
      const last = Math.max(...this.#held.keys());
      if (event.seq > last) return;
      this.#held.delete(last);
    }
    this.#held.set(event.seq, event);
    if (this.#settled) this.#drain();
  }

  /** Takes in the reply to a join, and says how many missed events it brought. */
  joined(result: JoinResult): number {
    let missed = 0;
    this.#settled = true;
    if (result.recovered && this.#position) {
      for (const event of result.events as Logged[]) {
        if (this.#over || event.seq <= this.#position.seq) continue;
        this.#advance(event);
        missed++;
      }
    }
    const least = result.recovered ? (this.#position?.seq ?? 0) : 0;
    this.#position = { epoch: result.epoch, seq: Math.max(least, result.seq) };
    this.#drain();
    return missed;
  }

  /** The connection is gone, and with it whatever was pushed over it before its turn. */
  disconnected(): void {
    this.#settled = false;
    this.#held.clear();
    this.#newest = 0;
  }

  /** The room was closed: its log is over. */
  reset(): void {
    this.disconnected();
    this.#position = null;
  }

  /** Nobody listens any more: nothing is handed on, even if more was about to be. */
  end(): void {
    this.#over = true;
  }

  #advance(event: Logged): void {
    this.#position!.seq = event.seq;
    this.#deliver(event);
  }

  #drain(): void {
    for (const seq of this.#held.keys()) if (seq <= this.#position!.seq) this.#held.delete(seq);
    // A listener may end or reset this meanwhile.
    for (let next; !this.#over && this.#position && (next = this.#held.get(this.#position.seq + 1)); ) {
      this.#held.delete(next.seq);
      this.#advance(next);
    }
  }
}
