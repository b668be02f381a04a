/** A number of milliseconds, or a text such as "500ms", "10s", "5m", "2h", "1d". */
export type Duration = number | string;

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function milliseconds(duration: Duration): number {
  if (typeof duration === "number") return duration;
  const [, n, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(duration) ?? [];
  if (n === undefined) throw new Error(`A duration is like "500ms", "10s", "5m", "2h" or "1d", not ${JSON.stringify(duration)}`);
  return Number(n) * UNITS[unit!]!;
}

/** Lets whatever waits for promises go on: a client that was cut off comes back in it. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 200; i++) await null;
}

/** A time that passes only when it is told to, and what is to be done in it. */
export class Clock {
  #now: number;
  #due: { at: number; what(): void }[] = [];

  constructor(now: number) {
    this.#now = now;
  }

  /** Unix time in milliseconds. */
  get now(): number {
    return this.#now;
  }

  /** Does something at a time, unless the function that this gives is called before. */
  at(at: number, what: () => void): () => void {
    const task = { at, what };
    this.#due.push(task);
    return () => (this.#due = this.#due.filter((one) => one !== task));
  }

  /** Lets time pass, and does what is due in it, in its order; what that leads to happens before the next. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms;
    await settle();
    for (;;) {
      const [next] = this.#due.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#due = this.#due.filter((one) => one !== next);
      this.#now = Math.max(this.#now, next.at);
      next.what();
      await settle();
    }
    this.#now = until;
    await settle();
  }
}
