/** A random time up to a bound that doubles with each attempt: "full jitter", so that many clients do not come at once. */
export function jitter(attempt: number, first: number, most: number): number {
  return Math.random() * Math.min(most, first * 2 ** Math.min(attempt, 20));
}

/** Waits, but for no longer than until the signal is aborted; then it rejects with the signal's reason. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error);
    const end = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", end);
      resolve();
    }, ms);
    signal.addEventListener("abort", end, { once: true });
  });
}
