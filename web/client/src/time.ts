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

/** Settles as a promise does, or rejects with the reason of a signal that is given before. */
export function unless<T>(signal: AbortSignal | undefined, promise: Promise<T>): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const off = onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(off);
  });
}

const stops = /* @__PURE__ */ new WeakMap<AbortSignal, Set<() => void>>();

/** Does something when a signal is given, in a microtask if it was. One listens for all, since Node warns where many do. It gives what takes it back. */
export function onAbort(signal: AbortSignal | undefined, stop: () => void): () => void {
  if (signal?.aborted) queueMicrotask(stop);
  let all = signal && stops.get(signal);
  if (signal && !all) {
    stops.set(signal, (all = new Set()));
    signal.addEventListener("abort", () => all!.forEach((each) => each()));
  }
  all?.add(stop);
  return () => void all?.delete(stop);
}
