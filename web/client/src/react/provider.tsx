import { createContext, useContext, useEffect, useInsertionEffect, useMemo, useRef, type ReactNode } from "react";
import { connect } from "../index.js";
import type { Client } from "../api.js";
import type { ConnectOptions } from "../transport.js";
import { Session } from "./session.js";

/** Long enough for a look at another tab, in milliseconds. */
const PAUSE_HIDDEN = 60_000;

/** What the hooks below a provider share; null where there is none. */
export const SessionContext = createContext<Session | null>(null);

interface Common {
  children?: ReactNode;
}

interface Own extends Common {
  /** Of the WebSocket API. Another one closes the connection and opens a new one. */
  url: string;
  /** Gives a fresh token. It may be another function in each render. */
  token: ConnectOptions["token"];
  /**
   * Who is logged in: when it changes, the connection is closed and another one opened. With null, as long as nobody is,
   * there is none. Without it the tokens alone say who it is.
   */
  user?: string | null;
  /** What else `connect` takes. Read when a connection is opened. */
  options?: Omit<ConnectOptions, "token">;
  client?: never;
}

interface Given extends Common {
  /** A client that the application has connected, and closes, itself. */
  client: Client;
  url?: never;
  token?: never;
  user?: never;
  options?: never;
}

/** What {@link BellhopProvider} takes: where to connect and as whom, or a client that is connected already. */
export type BellhopProviderProps = Own | Given;

/**
 * Holds one connection for everything below it, from the first effect until it is unmounted. On a server it does nothing.
 *
 * ```tsx
 * <BellhopProvider url={process.env.NEXT_PUBLIC_BELLHOP_URL!} token={() => fetch("/api/bellhop/token").then((r) => r.text())}>
 * ```
 */
export function BellhopProvider(props: BellhopProviderProps): ReactNode {
  const { url, user, client, children } = props;
  const latest = useRef(props);
  // Before the effects of the components below, which connect: they are to use the token of the present user.
  useInsertionEffect(() => {
    latest.current = props;
  });
  const session = useMemo(() => {
    if (client) return new Session({ open: () => client, foreign: true });
    return new Session({
      open: () => {
        const { token, options } = latest.current;
        if (user === null) return null;
        // What is missing here, in spite of the types, connect says.
        return connect(url!, { pauseHidden: PAUSE_HIDDEN, ...options, token: token && (async () => (latest.current.token ?? token)()) } as ConnectOptions);
      },
    });
  }, [client, url, user]);
  useEffect(() => session.subscribe(() => {}), [session]);
  return <SessionContext.Provider value={session}>{children}</SessionContext.Provider>;
}

/** Gives the session of the provider above, for a hook of this name. */
export function useSession(hook: string): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error(`${hook} needs a <BellhopProvider> above it.`);
  return session;
}
