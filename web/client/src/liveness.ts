/** API Gateway closes a connection after ten minutes without a frame. */
const IDLE = 9 * 60_000;
/** So long may a connection be silent that somebody uses. With the time for the pong it is found within 45 s. */
const QUIET = 40_000;
/** Where a ping costs nothing, so much silence is asked about whether somebody uses the connection or not. */
const QUIET_FREE = 35_000;
/** So long may an answer take, before it is asked whether there is a connection at all. */
const ANSWER_WITHIN = 5_000;
const PONG_WITHIN = 5_000;

type Timer = ReturnType<typeof setTimeout> | undefined;

/** Sends a ping that costs nothing, and calls back for its pong. */
export type Probe = (pong: () => void) => void;

/**
 * Finds out whether a connection only looks open. Only what is received shows that it is: what is sent may go nowhere, and
 * nobody says so. A ping costs two messages, so there is one only for a reason: an answer that does not come, a page that is
 * used again after a silence, a silence soon after somebody used the connection, or one so long that the gateway would close it.
 */
export class Liveness {
  #ping: () => boolean;
  #dead: (silent: number) => void;
  #free: Probe | undefined;
  #heard = 0; // when there was a sign of life last
  #frame = 0; // when there was one that the gateway counts
  #used = false; // since silence was last asked about
  #asked: Timer;
  #silence: Timer;
  #probe: Timer;
  #pong: Timer;

  /** @param ping sends one that costs, and says whether it could @param dead hears for how many milliseconds nothing came */
  constructor(ping: () => boolean, dead: (silent: number) => void) {
    this.#ping = ping;
    this.#dead = dead;
  }

  /** A connection is open. @param free where there is a ping that costs nothing: browsers have none */
  start(free?: Probe): void {
    this.stop();
    this.#free = free;
    this.#heard = this.#frame = Date.now();
    this.#listen();
  }

  stop(): void {
    for (const timer of [this.#asked, this.#silence, this.#probe, this.#pong]) clearTimeout(timer);
    this.#asked = this.#silence = this.#probe = this.#pong = undefined;
    this.#used = false;
  }

  /** Something was sent that is to be answered. A page that nobody sees does that by itself. */
  asked(): void {
    this.#asked ??= setTimeout(() => this.check(), ANSWER_WITHIN);
    if (!isHidden()) this.#use();
  }

  /** A frame has come. Only an answer ends the wait for one: events may come over half a connection. */
  received(answer: boolean): void {
    this.#frame = Date.now();
    this.#alive();
    if (!answer) return;
    clearTimeout(this.#asked);
    clearTimeout(this.#pong);
    this.#asked = this.#pong = undefined;
  }

  /** Somebody uses the page, or looks at it. */
  look(): void {
    if (Date.now() - this.#heard < QUIET) this.#use();
    else if (this.#silence !== undefined) this.check();
  }

  /** Finds out now. */
  check(): void {
    if (this.#pong !== undefined || !this.#ping()) return;
    this.#pong = setTimeout(() => this.#dead(Date.now() - this.#heard), PONG_WITHIN);
  }

  #alive(): void {
    this.#heard = Date.now();
    clearTimeout(this.#probe);
    this.#probe = undefined;
  }

  #use(): void {
    if (this.#used || this.#silence === undefined) return;
    this.#used = true;
    this.#listen();
  }

  /** Waits for the end of the silence that is allowed. */
  #listen(): void {
    clearTimeout(this.#silence);
    const now = Date.now();
    [this.#heard, this.#frame] = [Math.min(this.#heard, now), Math.min(this.#frame, now)]; // a clock may be put back
    this.#silence = setTimeout(() => {
      if (this.#left <= 0) this.#ask();
      this.#listen();
    }, Math.min(Math.max(this.#left, 1_000), IDLE));
  }

  get #left(): number {
    const quiet = this.#free ? QUIET_FREE : this.#used ? QUIET : Infinity;
    return Math.min(this.#frame + IDLE, this.#heard + quiet) - Date.now();
  }

  #ask(): void {
    this.#used = false;
    if (!this.#free || this.#frame + IDLE <= Date.now()) return this.check();
    if (this.#probe !== undefined) return;
    this.#free(() => this.#alive());
    this.#probe = setTimeout(() => {
      this.#free = undefined; // gateways need not answer: one that does not is asked by pings that cost
      this.check();
    }, PONG_WITHIN);
  }
}

/** Nobody sees the page. */
export function isHidden(): boolean {
  return (globalThis as { document?: { visibilityState?: string } }).document?.visibilityState === "hidden";
}
