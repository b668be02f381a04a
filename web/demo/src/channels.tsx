import { useRoom } from "@bellhop/client/react";
import { useEffect, useState } from "react";
import { Hidden, count } from "./parts.js";
import { NameField } from "./namefield.js";
import type { Me } from "./place.js";

const MOST = 6;
const KEY = "bellhop-demo-channels";

interface Props {
  current: string;
  me: Me;
  onEnter: (channel: string) => void;
}

/** The channels of this window. It stays in all of them, and counts what is said where nobody looks. */
export function Channels({ current, me, onEnter }: Props) {
  const [visited, setVisited] = useState<readonly string[]>(() => (sessionStorage.getItem(KEY) ?? "lobby,random").split(","));
  if (!visited.includes(current)) setVisited([current, ...visited].slice(0, MOST));
  useEffect(() => sessionStorage.setItem(KEY, visited.join(",")), [visited]);
  return (
    <div className="title channels">
      <h2 className="sr">Channels</h2>
      <ul>
        {visited.map((name) => (
          <li key={name}><Tab name={name} current={name === current} me={me} onEnter={onEnter} /></li>
        ))}
      </ul>
      <NameField label="Go to channel" shown="#" placeholder="another" testid="channel" onEnter={onEnter} />
    </div>
  );
}

function Tab({ name, current, me, onEnter }: { name: string; current: boolean; me: Me; onEnter: (channel: string) => void }) {
  const { room } = useRoom(`channel:${name}`);
  const [unread, setUnread] = useState(0);
  if (current && unread) setUnread(0);
  useEffect(() => {
    if (!current) return room?.on("message:new", ({ from }) => from?.userId !== me.userId && setUnread((n) => n + 1));
  }, [room, current, me]);
  return (
    <button type="button" className="tab" aria-current={current || undefined} data-testid="channel-tab" data-channel={name} onClick={() => onEnter(name)}>
      <span># {name}</span>
      {unread > 0 && <span className="count" data-testid="channel-unread">{unread}<Hidden> {count(unread, "new message").replace(/^\d+ /, "")}</Hidden></span>}
    </button>
  );
}
