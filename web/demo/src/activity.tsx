import { useBuddySocket } from "@bellhop/client/react";
import { Time, text } from "./parts.js";

/** What the user's buddies did, newest first. */
export function Activity() {
  const { goals, checkIns } = useBuddySocket();
  const items = [
    ...goals.map((goal) => ({ ...goal, sign: "★", words: "completed a goal", what: goal.title ?? goal.data.goal ?? goal.goalId })),
    ...checkIns.map((checkIn) => ({ ...checkIn, sign: "✓", words: "checked in", what: checkIn.note ?? checkIn.goalId })),
  ].sort((a, b) => b.ts - a.ts);
  return (
    <section className="card" data-part="activity" aria-labelledby="activity-title">
      <div className="title"><h2 id="activity-title">Buddy activity</h2></div>
      <ul className="activity" aria-live="polite" data-testid="activity">
        {items.map(({ id, ts, sign, words, what, userName, userId, data }) => (
          <li key={id} data-testid="activity-item">
            <span className="sign" aria-hidden="true">{sign}</span>
            <span>
              <b>{userName ?? userId ?? (typeof data.name === "string" ? data.name : "A buddy")}</b> {words}
              {what !== undefined && `: ${text(what)}`} <Time ts={ts} />
            </span>
          </li>
        ))}
      </ul>
      {items.length === 0 && <p className="empty">Completed goals and check-ins of your buddies appear here. “Try it” has commands for both.</p>}
    </section>
  );
}
