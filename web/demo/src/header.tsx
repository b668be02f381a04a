import { usePresenceSocket, useSocket, useSocketEvent } from "@bellhop/client/react";
import { useEffect, useState, useSyncExternalStore } from "react";
import { Bell } from "./bell.js";
import type { Network } from "./network.js";
import { Avatar, Hidden, Icon, sentence } from "./parts.js";
import type { Me } from "./place.js";
import { useToast } from "./toasts.js";

const CUT_FOR = 10_000;
const statuses = ["online", "away", "busy"];

interface Props {
  me: Me;
  community: string;
  network: Network;
  /** Begins anew, after the end of a session. */
  reconnect: () => void;
}

export function Header({ me, community, network, reconnect }: Props) {
  const { socket, status } = useSocket();
  const toast = useToast();
  useSocketEvent("session:ending", ({ reason }) => {
    if (reason === "expired") return toast("The token has expired; connecting with a new one.", "info");
    socket?.close(); // who was thrown out comes back only when asked to
    toast(`The server has ended this session: ${reason}.`);
  });
  useSocketEvent("error", (err) => {
    if (!err.retry) toast(sentence(err));
  });
  return (
    <header>
      <h1 className="brand"><img src="favicon.svg" alt="" width="28" height="28" /> <span>Bellhop</span></h1>
      <Badge network={network} />
      {status === "closed" ? (
        <button type="button" data-testid="reconnect" onClick={reconnect}>Reconnect</button>
      ) : (
        <Cut network={network} />
      )}
      <MyStatus community={community} me={me} />
      <Bell me={me} />
      <span className="me" data-testid="me"><Avatar {...me} /><span>{me.name}</span></span>
      <button className="icon" type="button" title="Log out" data-testid="logout" onClick={() => location.assign(location.pathname)}>
        <Icon of="leave" /><Hidden>Log out</Hidden>
      </button>
    </header>
  );
}

function Badge({ network }: { network: Network }) {
  const { status, error } = useSocket();
  const seconds = useSecondsLeft(network);
  const words = {
    connecting: seconds ? "Cut" : error ? <>Offline<span className="wide">, trying again…</span></> : "Connecting…",
    open: "Connected",
    closed: "Closed",
  };
  return (
    <p className="badge" role="status" data-testid="connection" data-state={status} title={status === "open" ? undefined : error?.message}>
      {words[status]}
      {seconds > 0 && <span aria-hidden="true"> for {seconds} s</span>}
    </p>
  );
}

function Cut({ network }: { network: Network }) {
  const cut = useSecondsLeft(network) > 0;
  return (
    <button className="icon cut" type="button" disabled={cut} title="Cut my connection for 10 s" aria-label="Cut my connection for 10 s" data-testid="cut" onClick={() => network.cut(CUT_FOR)}>
      <Icon of="cut" /><span className="wide">Cut for 10 s</span><span className="narrow">Cut</span>
    </button>
  );
}

/** For how many more seconds the network is cut. */
function useSecondsLeft(network: Network): number {
  const until = useSyncExternalStore(network.subscribe, network.getUntil);
  const [now, setNow] = useState(0);
  useEffect(() => {
    if (!until) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 250);
    return () => clearInterval(timer);
  }, [until]);
  return until ? Math.max(1, Math.ceil((until - Math.max(now, until - CUT_FOR)) / 1000)) : 0;
}

/** The status as others see it, which is the same in all windows of a user. */
function MyStatus({ community, me }: { community: string; me: Me }) {
  const { users, setStatus } = usePresenceSocket(community);
  const toast = useToast();
  const mine = users.get(me.userId)?.status ?? "online";
  return (
    <label className="status">
      <Hidden>Your status</Hidden>
      <select value={mine} data-testid="status" onChange={({ target }) => void setStatus(target.value).catch((err: unknown) => toast(sentence(err)))}>
        {[...new Set([...statuses, mine])].map((status) => (
          <option key={status} value={status}>{status[0]?.toUpperCase() + status.slice(1)}</option>
        ))}
      </select>
    </label>
  );
}
