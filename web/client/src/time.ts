/** A random time up to a bound that doubles with each attempt: "full jitter", so that many clients do not come at once. */
export function jitter(attempt: number, first: number, most: number): number {
  return Math.random() * Math.min(most, first * 2 ** Math.min(attempt, 20));
}

/** Settles as a promise does, or rejects if it has not by then. */
export function within<T>(ms: number, promise: Promise<T>, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
