import { useSocket } from "@bellhop/client/react";
import { Time } from "./parts.js";
import type { Me, Place } from "./place.js";
import { resumed, useResume } from "./resume.js";

/** What the connection has been through. */
export function Connection({ me, place }: { me: Me; place: Place }) {
  const { status, error } = useSocket();
  const resume = useResume(
    { name: `channel:${place.channel}`, label: `#${place.channel}` },
    { name: `community:${place.community}`, label: place.community },
    { name: `user:${me.userId}`, label: "your own room" },
  );
  const lost = resume?.missed.some(([, n]) => n === null);
  const total = resume?.missed.reduce((sum, [, n]) => sum + (n ?? 0), 0) ?? 0;
  const parts = resume?.missed.filter(([, n]) => n).map(([label, n]) => `${n} in ${label}`) ?? [];
  return (
    <section className="card" data-part="try" aria-labelledby="connection-title">
      <div className="title"><h2 id="connection-title">Connection</h2></div>
      {resume ? (
        <p role="status" data-testid="resume" data-missed={lost ? "unknown" : total} data-times={resume.times}>
          {resumed(lost ? null : total, parts.join(", "))} <Time ts={resume.at} />
        </p>
      ) : (
        <p>Cut it with the button above, and let somebody write meanwhile: every message comes once, in order.</p>
      )}
      {status !== "open" && error && <p className={status === "closed" ? "error" : "empty"}>{error.message}</p>}
    </section>
  );
}
