import { BellhopProvider, SocketErrorBoundary } from "@bellhop/client/react";
import { useMemo, useRef, useState } from "react";
import { Activity } from "./activity.js";
import { Channels } from "./channels.js";
import { Chat } from "./chat.js";
import { Connection } from "./connection.js";
import { Header } from "./header.js";
import { Network } from "./network.js";
import { People } from "./people.js";
import { address, type Me, type Place } from "./place.js";
import { fetchToken } from "./token.js";
import type { OpenTransport } from "./transport.js";
import { TryIt } from "./tryit.js";
import { Wire } from "./wire.js";

const views = { chat: "Chat", people: "People", activity: "Activity", try: "Try it" };

const url = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/dev`;

interface WindowProps {
  me: Me;
  place: Place;
  token: string;
  transport: OpenTransport | undefined;
}

/** The page of a user who is logged in: one connection, and everything that comes over it. */
export function Window({ me, place: first, token, transport }: WindowProps) {
  const network = useMemo(() => new Network(), []);
  const [attempt, setAttempt] = useState(0); // another one is another connection
  const [place, setPlace] = useState(first);
  const next = useRef<string | null>(token);

  async function nextToken(): Promise<string> {
    await network.back();
    const given = next.current;
    next.current = null;
    return given ?? fetchToken(me);
  }

  function go(to: Partial<Place>) {
    const there = { ...place, ...to };
    history.replaceState(null, "", address(me.name, there));
    setPlace(there);
  }

  return (
    <BellhopProvider key={attempt} url={url} token={nextToken} user={me.userId} options={{ WebSocket: network.WebSocket, ...(transport && { transport }) }}>
      <SocketErrorBoundary fallback={(error, reset) => <Broken error={error} reset={reset} />}>
        <Rooms me={me} place={place} go={go} network={network} reconnect={() => setAttempt(attempt + 1)} />
      </SocketErrorBoundary>
    </BellhopProvider>
  );
}

interface RoomsProps {
  me: Me;
  place: Place;
  go: (to: Partial<Place>) => void;
  network: Network;
  reconnect: () => void;
}

function Rooms({ me, place, go, network, reconnect }: RoomsProps) {
  const [view, setView] = useState<keyof typeof views>("chat"); // on a phone, one part at a time
  return (
    <div className="app" data-view={view} data-half={window.top === window ? undefined : ""}>
      <Header me={me} community={place.community} network={network} reconnect={reconnect} />
      <nav aria-label="View">
        {Object.entries(views).map(([name, words]) => (
          <button key={name} type="button" aria-pressed={view === name} data-show={name} onClick={() => setView(name as keyof typeof views)}>{words}</button>
        ))}
      </nav>
      <main className="card chat" data-part="chat">
        <Channels current={place.channel} me={me} onEnter={(channel) => go({ channel })} />
        <Chat key={place.channel} channel={place.channel} me={me} />
        <Wire network={network} />
      </main>
      <aside>
        <People community={place.community} me={me} onEnter={(community) => go({ community })} />
        <Activity />
        <Connection me={me} place={place} />
        <TryIt me={me} place={place} />
      </aside>
    </div>
  );
}

function Broken({ error, reset }: { error: Error; reset: () => void }) {
  return (
    <main className="login">
      <div className="card broken" role="alert">
        <h1>This should not have happened</h1>
        <p>{error.message}</p>
        <button className="primary" type="button" onClick={reset}>Try again</button>
      </div>
    </main>
  );
}
