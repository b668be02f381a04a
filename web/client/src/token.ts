/** What a client reads from its own token, to know who it is and when to renew it. The server alone verifies. */
export interface Claims {
  userId: string | null;
  /** Unix time in milliseconds; null: it does not say. */
  expires: number | null;
}

export function readToken(token: string): Claims {
  try {
    const part = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const text = new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0)));
    const claims = JSON.parse(text) as { sub?: unknown; exp?: unknown };
    return {
      userId: typeof claims.sub === "string" ? claims.sub : null,
      expires: typeof claims.exp === "number" ? claims.exp * 1000 : null,
    };
  } catch {
    return { userId: null, expires: null };
  }
}

/** How long from now a token should be renewed: at about 80 % of its life, and 30 s before its end if it lives that long. */
export function renewIn(expires: number, now: number): number {
  const life = expires - now;
  return Math.max(0, Math.min(life * (0.75 + Math.random() * 0.05), life > 60_000 ? life - 30_000 : life * 0.8));
}
