/** What a client reads from its own token, to know who it is and when to renew it. The server alone verifies. */
export interface Claims {
  userId: string | null;
  /** Unix times in milliseconds, by the clock of whoever signs; null: it does not say. */
  issued: number | null;
  expires: number | null;
}

export function readToken(token: string): Claims {
  try {
    const part = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const text = new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0)));
    const { sub, iat, exp } = JSON.parse(text) as { sub?: unknown; iat?: unknown; exp?: unknown };
    const time = (value: unknown) => (typeof value === "number" ? value * 1000 : null);
    return { userId: typeof sub === "string" ? sub : null, issued: time(iat), expires: time(exp) };
  } catch {
    return { userId: null, issued: null, expires: null };
  }
}

/** Most renewals follow each other at this distance at least, whatever the clock says. */
const FLOOR = 30_000;

/**
 * How long from now a token should be renewed that the server has just accepted: at about 80 % of its life, and 30 s before
 * its end if it lives that long. null: that cannot be known, and the server will say when it is over.
 *
 * The clock here may be wrong. Where it says that the token is over it is, since the server has accepted it; where it gives
 * the token longer than its whole life, too.
 */
export function renewIn({ issued, expires }: Claims, now: number): number | null {
  if (expires === null) return null;
  const life = issued === null ? Infinity : expires - issued;
  const left = expires > now ? Math.min(expires - now, life) : life;
  if (left === Infinity) return null;
  const wait = Math.min(left * (0.75 + Math.random() * 0.05), left > 60_000 ? left - 30_000 : left * 0.8);
  return Math.max(wait, Math.min(FLOOR, life * 0.6));
}
