import type { From } from "../types.js";

/** While keys are pressed one signal goes out in this time; it counts for two seconds longer. */
const BEAT = 10_000;
/** Typing is over so long after the last key. */
const IDLE = 3_000;
/** An explicit stop waits so long for a key that follows. */
const PATIENCE = 1_000;
/** Who stops and begins again is announced again after this time at the earliest. */
const PAUSE = 3_000;

/** Tells others that this user is typing: at once, then every ten seconds, until the calls stop. */
export class TypingSignal {
  readonly #send: (event: "typing:start" | "typing:stop") => boolean;
  #typing = false;
  #sent = -Infinity;
  #ends = 0; // when #end is due
  #start: ReturnType<typeof setTimeout> | undefined;
  #end: ReturnType<typeof setTimeout> | undefined;

  /** The function sends a signal, and says whether it could. */
  constructor(send: (event: "typing:start" | "typing:stop") => boolean) {
    this.#send = send;
  }

  /** For each key. */
  touch(): void {
    this.#endIn(IDLE);
    const wait = this.#sent + (this.#typing ? BEAT : PAUSE) - Date.now();
    if (wait <= 0) this.#signal();
    else if (!this.#typing) this.#start ??= setTimeout(() => this.#signal(), wait); // stopped, and began again at once
  }

  /** Typing is over, unless a key follows: a timer that each key has set, and none has cleared, calls this in the middle of a word. */
  stop(): void {
    if ((this.#typing || this.#start) && Date.now() + PATIENCE < this.#ends) this.#endIn(PATIENCE);
  }

  /** Typing is over. */
  end(): void {
    this.#clear();
    if (this.#typing) this.#send("typing:stop");
    this.#typing = false;
  }

  /** A message was sent, which tells others that typing is over. The next one may be announced at once. */
  sent(): void {
    this.#clear();
    this.#typing = false;
    this.#sent = -Infinity;
  }

  #endIn(time: number): void {
    clearTimeout(this.#end);
    this.#ends = Date.now() + time;
    this.#end = setTimeout(() => this.end(), time);
  }

  #signal(): void {
    clearTimeout(this.#start);
    this.#start = undefined;
    if (!this.#send("typing:start")) return;
    this.#typing = true;
    this.#sent = Date.now();
  }

  #clear(): void {
    clearTimeout(this.#start);
    clearTimeout(this.#end);
    this.#start = undefined;
  }
}

/** Somebody else who is typing. */
export interface TypingUser {
  readonly userId: string;
  /** The user id of those who have no name. */
  readonly userName: string;
}

/** Who else is typing, each until the time that the signal gave. */
export class Typists {
  readonly #changed: () => void;
  readonly #typing = new Map<string, { user: TypingUser; timer: ReturnType<typeof setTimeout> }>();
  #users: readonly TypingUser[] = [];

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** The same array until it changes; who began first comes first. */
  get users(): readonly TypingUser[] {
    return this.#users;
  }

  /** The clock of this machine may be wrong, and the signal is for twelve seconds: it is shown for one to fourteen. */
  add({ userId, name }: From, until: number): void {
    clearTimeout(this.#typing.get(userId)?.timer);
    const left = Math.min(Math.max(until - Date.now() || 0, 1_000), 14_000);
    const timer = setTimeout(() => this.remove(userId), left);
    const known = this.#typing.get(userId)?.user;
    this.#typing.set(userId, { user: known ?? { userId, userName: name || userId }, timer });
    if (!known) this.#update();
  }

  remove(userId: string): void {
    clearTimeout(this.#typing.get(userId)?.timer);
    if (this.#typing.delete(userId)) this.#update();
  }

  clear(): void {
    for (const userId of [...this.#typing.keys()]) this.remove(userId);
  }

  #update(): void {
    this.#users = [...this.#typing.values()].map(({ user }) => user);
    this.#changed();
  }
}
