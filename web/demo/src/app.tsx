import { useEffect, useState } from "react";
import { Login } from "./login.js";
import { sentence } from "./parts.js";
import { address, capitalised, slug, type Me, type Place, type Query } from "./place.js";
import { SideBySide } from "./side.js";
import { Toasts } from "./toasts.js";
import { fetchToken } from "./token.js";
import { transportOver, type OpenTransport } from "./transport.js";
import { Window } from "./window.js";

interface LoggedIn {
  me: Me;
  place: Place;
  /** The first token, which has shown that the name is a good one. */
  token: string;
  transport: OpenTransport | undefined;
}

/** The whole page: a form, or a window for whom the address names, or several of those side by side. */
export function App({ query }: { query: Query }) {
  const [session, setSession] = useState<LoggedIn | null>(null);
  const [error, setError] = useState("");
  const [asked, setAsked] = useState(!query.user);

  async function login(fields: Query) {
    setError("");
    try {
      setSession(await logIn(fields));
    } catch (err) {
      setError(sentence(err));
      setAsked(true);
    }
  }

  useEffect(() => {
    if (query.user && !query.side) void login(query);
  }, [query]);

  if (query.side) return <SideBySide names={query.side.split(",")} channel={query.channel} community={query.community} />;
  if (session) return <Toasts><Window {...session} /></Toasts>;
  return asked ? <Login query={query} error={error} onLogin={login} /> : null;
}

async function logIn({ user = "", channel, community, over }: Query): Promise<LoggedIn> {
  const name = capitalised(user);
  const me = { userId: slug(name), name };
  const place = { channel: slug(channel || "lobby"), community: slug(community || "town"), ...(over === "socket.io" && { over }) };
  if (!me.userId || !place.channel || !place.community) throw new Error("Names need at least one letter or digit.");
  const [token, transport] = await Promise.all([fetchToken(me), transportOver(over)]);
  history.replaceState(null, "", address(name, place));
  return { me, place, token, transport };
}
