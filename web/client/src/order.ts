import type { JoinResult, Position, RoomEvent } from "./types.js";

/** How many events are held back for an earlier one. Those beyond are dropped: the next join brings them again. */
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
  #settled = false; // the present connection has joined, so that pushed events are known to be of this epoch

  constructor(since: Position | null, deliver: (event: Logged) => void) {
    this.#position = since;
    this.#deliver = deliver;
  }

  get position(): Position | null {
    return this.#position && { ...this.#position };
  }

  /** Something is missing between what was handed on and what is held. */
  get gap(): boolean {
    return this.#settled && this.#held.size > 0;
  }

  /** Takes in an event that was pushed. */
  push(event: Logged): void {
    if (this.#settled && this.#position && event.seq <= this.#position.seq) return;
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
    const known = this.#position;
    if (result.recovered && known) {
      for (const event of result.events as Logged[]) {
        if (event.seq <= this.#position!.seq) continue;
        this.#advance(event);
        missed++;
      }
      this.#position = { epoch: result.epoch, seq: Math.max(this.#position!.seq, result.seq) };
    } else {
      this.#position = { epoch: result.epoch, seq: result.seq };
    }
    this.#settled = true;
    this.#drain();
    return missed;
  }

  /** The connection is gone, and with it whatever was pushed over it before its turn. */
  disconnected(): void {
    this.#settled = false;
    this.#held.clear();
  }

  /** The room was closed: its log is over. */
  reset(): void {
    this.disconnected();
    this.#position = null;
  }

  #advance(event: Logged): void {
    this.#position!.seq = event.seq;
    this.#deliver(event);
  }

  #drain(): void {
    const position = this.#position!;
    for (const seq of this.#held.keys()) if (seq <= position.seq) this.#held.delete(seq);
    for (let next = this.#held.get(position.seq + 1); next; next = this.#held.get(position.seq + 1)) {
      this.#held.delete(next.seq);
      this.#advance(next);
    }
  }
}
