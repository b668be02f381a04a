import type { From } from "../types.js";

/** One signal goes out in this time, and typing is over this long after the last call. */
const EVERY = 3_000;

/** Tells others that this user is typing: at once, then every three seconds, until the calls stop. */
export class TypingSignal {
  readonly #send: (event: "typing:start" | "typing:stop") => boolean;
  #typing = false;
  #sent = -Infinity;
  #start: ReturnType<typeof setTimeout> | undefined;
  #end: ReturnType<typeof setTimeout> | undefined;

  /** The function sends a signal, and says whether it could. */
  constructor(send: (event: "typing:start" | "typing:stop") => boolean) {
    this.#send = send;
  }

  /** For each key. */
  touch(): void {
    clearTimeout(this.#end);
    this.#end = setTimeout(() => this.stop(), EVERY);
    const wait = this.#sent + EVERY - Date.now();
    if (wait <= 0) this.#signal();
    else if (!this.#typing) this.#start ??= setTimeout(() => this.#signal(), wait); // stopped, and began again at once
  }

  /** Typing is over. */
  stop(): void {
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

  /** The clock of this machine may be wrong, and the signal is for four seconds: it is shown for one to eight. */
  add({ userId, name }: From, until: number): void {
    clearTimeout(this.#typing.get(userId)?.timer);
    const left = Math.min(Math.max(until - Date.now() || 0, 1_000), 8_000);
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
