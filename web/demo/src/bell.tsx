import { useNotificationsSocket, useSocketEvent } from "@bellhop/client/react";
import { useEffect } from "react";
import { Hidden, Icon, Time, sentence } from "./parts.js";
import type { Me } from "./place.js";
import { useToast } from "./toasts.js";

/** The bell with the number of unread notifications, and the panel that it opens. */
export function Bell({ me }: { me: Me }) {
  const { notifications, unread, markRead, markAllRead } = useNotificationsSocket(me.userId);
  const toast = useToast();
  const failed = (err: unknown) => toast(sentence(err));
  useSocketEvent("notification:new", ({ title, type }) => toast(title || type || "Notification", "info"));
  useEffect(() => {
    document.title = unread ? `(${unread}) Bellhop demo` : "Bellhop demo";
  }, [unread]);
  return (
    <>
      <button className="icon" type="button" popoverTarget="notifications" data-testid="bell">
        <Icon of="bell" /><Hidden>Notifications</Hidden>
        {unread > 0 && <span className="count" data-testid="unread">{unread}<Hidden> unread</Hidden></span>}
      </button>
      <section id="notifications" className="card notifications" popover="auto" aria-label="Notifications" data-testid="notifications">
        <div className="title">
          <h2>Notifications</h2>
          {unread > 0 && <button className="link" type="button" data-testid="read-all" onClick={() => void markAllRead().catch(failed)}>Mark all as read</button>}
        </div>
        <ul>
          {notifications.map(({ id, title, type, body, isRead, ts }) => (
            <li key={id} data-testid="notification" data-id={id} data-read={isRead}>
              <div>
                <b>{title || type || "Notification"}</b>
                {body && <p>{body}</p>}
                <Time ts={ts} />
              </div>
              {!isRead && <button className="link" type="button" data-testid="mark-read" onClick={() => void markRead(id).catch(failed)}>Mark as read</button>}
            </li>
          ))}
        </ul>
        {notifications.length === 0 && <p className="empty">Nothing yet. A command under “Try it” rings this bell.</p>}
      </section>
    </>
  );
}
