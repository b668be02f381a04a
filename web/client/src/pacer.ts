/** A little below what a server allows a connection unless it is told otherwise: 10 actions a second, and 20 at once. */
const RATE = 9.5;
const BURST = 18;

/** Sends something when its turn comes, and says whether it did: what is needless by then costs nothing. */
export type Turn = () => boolean;

/** What waits for its turn: memberships, and everything else. They take turns, so that none holds up the other. */
export type Kind = "membership" | "call";

/**
 * Spreads what a connection sends over time, so that nothing is refused for being too much: what is refused was sent and
 * costs, too. It begins with the limit that servers have unless told otherwise. While something waits, each answer makes it
 * faster, since this server may allow more; each refusal makes it slower, and more careful in becoming faster.
 */
export class Pacer {
  #rate = RATE; // a second
  #tokens = BURST;
  #at = Date.now(); // when there were so many
  #growth = 1.1;
  #slowed = 0; // when it last was
  #turns: Record<Kind, Turn[]> = { membership: [], call: [] };
  #last: Kind = "call";
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** A connection is open: nothing was sent over it. */
  start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    [this.#rate, this.#growth, this.#slowed] = [RATE, 1.1, 0];
    [this.#tokens, this.#at] = [BURST, Date.now()];
    this.#run();
  }

  /** The connection is gone, and with it everything that waits for its turn. */
  stop(): void {
    this.#turns = { membership: [], call: [] };
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  add(kind: Kind, turn: Turn): void {
    this.#turns[kind].push(turn);
    this.#run();
  }

  /** Something was sent without waiting for its turn. */
  sent(): void {
    this.#fill();
    this.#tokens = Math.max(this.#tokens - 1, -BURST);
  }

  /** What was sent was not too much. */
  answered(): void {
    if (this.#waits) this.#rate = Math.min(this.#rate * this.#growth, 1_000);
  }

  /** It was too much. Several refusals of what was sent together are one. */
  refused(retryAfterMs = 0): void {
    this.#fill();
    if (Date.now() - this.#slowed > 1_000) {
      const slower = this.#rate > RATE ? RATE : this.#rate * 0.8;
      this.#rate = Math.max(Math.min(slower, 1_000 / retryAfterMs), 0.5); // so long takes one action at most
      this.#growth = 1 + (this.#growth - 1) / 4;
      this.#slowed = Date.now();
    }
    this.#tokens = Math.min(this.#tokens, 1 - Math.max(1, (retryAfterMs * this.#rate) / 1_000));
  }

  get #waits(): boolean {
    return this.#turns.membership.length + this.#turns.call.length > 0;
  }

  #fill(): void {
    const now = Date.now();
    this.#tokens = Math.min(BURST, this.#tokens + (Math.max(0, now - this.#at) * this.#rate) / 1_000);
    this.#at = now;
  }

  #run(): void {
    if (this.#timer !== undefined) return;
    for (this.#fill(); this.#waits && this.#tokens >= 1; ) {
      const other = this.#last === "call" ? "membership" : "call";
      this.#last = this.#turns[other].length > 0 ? other : this.#last;
      if (this.#turns[this.#last].shift()!()) this.#tokens--;
    }
    if (!this.#waits) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#run();
    }, ((1 - this.#tokens) * 1_000) / this.#rate + 1);
  }
}
