import { BellhopError } from "@bellhop/client";
import type { Me } from "./place.js";

/** Asks `bellhop dev` for a token, which it gives to everybody. In an application, your own server signs them. */
export async function fetchToken({ userId, name }: Me): Promise<string> {
  const response = await fetch("_bellhop/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user: userId, name }),
  });
  const answer = (await response.json().catch(() => ({}))) as { token?: string; error?: string };
  if (response.ok && answer.token) return answer.token;
  const words = answer.error ?? `The server gave no token (HTTP ${response.status}).`;
  throw new BellhopError("token", words, { retry: response.status >= 500 });
}
