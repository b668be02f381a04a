import type { CSSProperties, ReactNode } from "react";

/** A letter in a colour of the user's own, with the status as a dot. Beside it there is always the name in words. */
export function Avatar({ userId, name, status }: { userId: string; name: string; status?: string | undefined }) {
  let hue = 0;
  for (const char of userId) hue = (hue * 31 + (char.codePointAt(0) ?? 0)) % 360;
  return (
    <span className="avatar" aria-hidden="true" data-status={status} style={{ "--hue": hue } as CSSProperties}>
      {[...name][0]?.toUpperCase() ?? "?"}
    </span>
  );
}

/** The time of an event, with the day unless it is today. */
export function Time({ ts, day = true }: { ts: number; day?: boolean }) {
  const at = new Date(ts);
  const elsewhen = day && !sameDay(at, new Date());
  return (
    <time dateTime={at.toISOString()} title={at.toLocaleString()}>
      {at.toLocaleString([], { hour: "2-digit", minute: "2-digit", ...(elsewhen && { day: "numeric", month: "short" }) })}
    </time>
  );
}

export function sameDay(a: Date, b: Date): boolean {
  return a.toDateString() === b.toDateString();
}

const shapes = {
  bell: "M18 16v-5a6 6 0 0 0-12 0v5l-2 2h16zM10 20.5a2 2 0 0 0 4 0",
  leave: "M14 4H6v16h8M10 12h10m-4-4 4 4-4 4",
  cut: "M9 6a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM9 18a3 3 0 1 1-6 0 3 3 0 0 1 6 0zM20 4 8.1 15.9M14.5 14.5 20 20M8.1 8.1 12 12",
  sides: "M4 5h16v14H4zM12 5v14",
};

export function Icon({ of }: { of: keyof typeof shapes }) {
  return (
    <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
      <path d={shapes[of]} fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}

/** Words for screen readers alone. */
export function Hidden({ children }: { children: ReactNode }) {
  return <span className="sr">{children}</span>;
}

/** Says whatever a program has sent. */
export function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}

/** "1 event", "2 events". */
export function count(n: number, thing: string): string {
  return `${n} ${thing}${n === 1 ? "" : "s"}`;
}

/** An error in words, with its code for those who want to look it up. */
export function sentence(err: unknown): string {
  const { message, code } = err as { message?: string; code?: string };
  return code && code !== "token" ? `${message} (${code})` : (message ?? String(err));
}
