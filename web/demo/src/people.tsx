import { usePresenceSocket } from "@bellhop/client/react";
import { Avatar } from "./parts.js";
import { NameField } from "./namefield.js";
import type { Me } from "./place.js";

/** Who is in the community: the user of this window first, then by name. */
export function People({ community, me, onEnter }: { community: string; me: Me; onEnter: (community: string) => void }) {
  const { users, isConnected, error } = usePresenceSocket(community);
  const people = [...users.values()].sort(
    (a, b) => Number(b.userId === me.userId) - Number(a.userId === me.userId) || (a.name || a.userId).localeCompare(b.name || b.userId),
  );
  return (
    <section className="card" data-part="people" aria-labelledby="people-title">
      <div className="title">
        <h2 id="people-title">People</h2>
        <NameField label="Community" shown="in" value={community} testid="community" onEnter={onEnter} />
      </div>
      <ul className="people" data-testid="people" aria-busy={!isConnected}>
        {people.map(({ userId, name = userId, status }) => (
          <li key={userId} data-testid="person" data-user={userId} data-status={status}>
            <Avatar userId={userId} name={name} status={status} />
            <span className="name">{name}{userId === me.userId && " (you)"}</span>
            <span className="state">{status}</span>
          </li>
        ))}
      </ul>
      {error && <p className="error">{error.message}</p>}
    </section>
  );
}
