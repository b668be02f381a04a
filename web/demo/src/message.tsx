import { useSocket, type ChatMessage } from "@bellhop/client/react";
import { memo } from "react";
import { Avatar, Hidden, Time, sentence } from "./parts.js";

interface Props {
  message: ChatMessage;
  own: boolean;
  /** The one above is by the same user, and not much older. */
  follows: boolean;
  onDelete: (id: string) => void;
  onRetry: (id: string) => void;
}

/** One message, with what its writer can do about it. */
export const Message = memo(function Message({ message, own, follows, onDelete, onRetry }: Props) {
  const { id, content, userId, userName, ts, status, deleted, error, isFinal, data } = message;
  const name = userName || userId || "Server";
  const classes = ["message", own && "own", follows && "follows", status, deleted && "deleting"];
  return (
    <li className={classes.filter(Boolean).join(" ")} data-testid="message" data-state={deleted ? "deleting" : status} data-id={id} data-user={userId}>
      {!own && <Avatar userId={userId} name={name} />}
      <div>
        <p className="meta"><b>{own ? "You" : name}</b> <Time ts={ts} day={false} /></p>
        <div className="line">
          {status === "pending" && <Pending />}
          {status === "sent" && own && !deleted && (
            <>
              <button className="link" type="button" data-testid="delete" onClick={() => onDelete(id)}>Delete<Hidden> “{content.slice(0, 40)}”</Hidden></button>
              <span className="side" title="Sent">✓<Hidden>sent</Hidden></span>
            </>
          )}
          <p className="bubble" data-testid="message-content">{content || JSON.stringify(data)}</p>
        </div>
        {status === "failed" && (
          <p className="foot">
            <span className="error" role="alert">Not sent: {sentence(error)}</span>{" "}
            {!isFinal && <button className="link" type="button" data-testid="retry" onClick={() => onRetry(id)}>Try again</button>}
            <button className="link" type="button" data-testid="discard" onClick={() => onDelete(id)}>Discard</button>
          </p>
        )}
      </div>
    </li>
  );
});

function Pending() {
  const { isConnected } = useSocket();
  return <span className="side">{isConnected ? "Sending…" : "Waits for the connection"}</span>;
}
