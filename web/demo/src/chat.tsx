import { useChatSocket, useRoom, type ChatMessage } from "@bellhop/client/react";
import { Fragment, useCallback, useEffect, useLayoutEffect, useRef, useState, type ReactNode } from "react";
import { Composer } from "./composer.js";
import { Message } from "./message.js";
import { Avatar, sameDay, sentence, text } from "./parts.js";
import type { Me } from "./place.js";
import { resumed } from "./resume.js";
import { useToast } from "./toasts.js";

/** Something that happened in the channel and is no message. */
interface Note {
  id: number;
  /** It is shown after the message with this seq. */
  after: number;
  words: string;
}

const NEAR = 60; // pixels from the end that still count as the end
const TOGETHER = 5 * 60_000; // messages of one user within this time have one head
const known = new Set(["message:new", "message:deleted", "user:typing", "user:stopped-typing"]);

/** One channel. It is mounted anew for another one. */
export function Chat({ channel, me }: { channel: string; me: Me }) {
  const chat = useChatSocket(channel);
  const { messages, typingUsers, isLoading, hasMore, loadMore, error } = chat;
  const notes = useNotes(`channel:${channel}`);
  const toast = useToast();
  const compose = useRef<HTMLTextAreaElement>(null);
  const { scroll, isNew, toEnd } = useScroll(messages, notes, me);
  const [older, setOlder] = useState(false); // is on its way

  async function more() {
    if (older) return;
    setOlder(true);
    await loadMore().catch((err: unknown) => toast(sentence(err)));
    setOlder(false);
  }

  const { deleteMessage } = chat;
  const remove = useCallback(
    (id: string) => {
      compose.current?.focus(); // the button goes with the message
      deleteMessage(id).catch((err: unknown) => toast(sentence(err)));
    },
    [deleteMessage, toast],
  );

  return (
    <>
      <div className="scroll" tabIndex={0} role="log" aria-label="Messages" aria-busy={isLoading || older} data-testid="scroll" ref={scroll}
        onScroll={({ currentTarget }) => currentTarget.scrollTop < NEAR && hasMore && void more()}>
        {hasMore && (
          <button className="link older" type="button" disabled={older} data-testid="older" onClick={() => void more()}>
            {older ? "Loading…" : "Load older messages"}
          </button>
        )}
        <ol className="messages" data-testid="messages">
          {rows(messages, notes).map(({ message, above, note }) =>
            message ? (
              <Fragment key={message.id}>
                {!(above && sameDay(new Date(above.ts), new Date(message.ts))) && <Day ts={message.ts} />}
                <Message
                  message={message} own={message.userId === me.userId}
                  follows={above !== undefined && above.userId === message.userId && message.ts - above.ts < TOGETHER}
                  onDelete={remove} onRetry={chat.retry}
                />
              </Fragment>
            ) : (
              <li key={`note ${note.id}`} className="note" data-testid="note">{note.words}</li>
            ),
          )}
        </ol>
        {messages.length === 0 && (isLoading ? <p className="empty first">Loading…</p> : <Welcome channel={channel} />)}
      </div>
      {isNew && <button className="newest" type="button" data-testid="newest" onClick={toEnd}>New messages ↓</button>}
      {error && <p className="error below">{sentence(error)}</p>}
      <p className="typing" aria-live="polite" data-testid="typing">
        {typingUsers.length > 0 && <span className="dots" aria-hidden="true"><i /><i /><i /></span>}
        {typing(typingUsers.map(({ userName }) => userName))}
      </p>
      <Composer channel={channel} compose={compose} onSend={chat.sendMessage} onTyping={chat.sendTyping} onStop={chat.stopTyping} />
    </>
  );
}

/** What a channel has while nobody has said anything: nothing of it is logged, and the first message takes its place. */
function Welcome({ channel }: { channel: string }) {
  return (
    <div className="message welcome" data-testid="welcome">
      <Avatar userId="concierge" name="Concierge" />
      <div>
        <p className="meta"><b>Concierge</b></p>
        <p className="bubble">Welcome to #{channel}. Nobody has said anything here so far.</p>
        <p className="bubble">Write something below: it is logged, and pushed to everybody in this channel.</p>
        <p className="bubble">Then be two people at once, or cut your connection for ten seconds, and watch what you have missed come back.</p>
      </div>
    </div>
  );
}

/** Events of the channel that are no messages, and how it came back after the connection was lost. */
function useNotes(name: string): readonly Note[] {
  const { room } = useRoom(name);
  const [notes, setNotes] = useState<readonly Note[]>([]);
  useEffect(() => {
    if (!room) return;
    const add = (words: string) => setNotes((all) => [...all, { id: all.length, after: room.position?.seq ?? 0, words }]);
    const off = [
      room.onAny(({ event, from, data }) => {
        if (event === "room:closed") add(`The room was closed: ${text((data as { reason?: string } | null)?.reason)}.`);
        else if (!known.has(event)) add(`${from?.name ?? "Event"}: ${event} ${text(data)}`);
      }),
      room.onJoined(({ first, recovered, missed }) => first || add(resumed(recovered ? missed : null))),
    ];
    return () => off.forEach((each) => each());
  }, [room]);
  return notes;
}

type Row = { message: ChatMessage; above: ChatMessage | undefined; note?: never } | { note: Note; message?: never; above?: never };

/** Puts the notes between the messages. */
function rows(messages: readonly ChatMessage[], notes: readonly Note[]): Row[] {
  const all: Row[] = [];
  let next = 0;
  let above: ChatMessage | undefined;
  for (const message of messages) {
    while (next < notes.length && notes[next]!.after < (message.seq ?? Infinity)) all.push({ note: notes[next++]! });
    all.push({ message, above });
    above = message;
  }
  return [...all, ...notes.slice(next).map((note) => ({ note }))];
}

/** Keeps the end in view for those who are there, and what they read for those who are not. */
function useScroll(messages: readonly ChatMessage[], notes: readonly Note[], me: Me) {
  const scroll = useRef<HTMLDivElement>(null);
  const seen = useRef({ fromEnd: 0, first: "", last: "" });
  const [isNew, setNew] = useState(false);

  useEffect(() => {
    const element = scroll.current!;
    const look = () => {
      seen.current.fromEnd = element.scrollHeight - element.scrollTop - element.clientHeight;
      if (seen.current.fromEnd < NEAR) setNew(false);
    };
    const resized = new ResizeObserver(() => {
      if (seen.current.fromEnd < NEAR) element.scrollTop = element.scrollHeight;
    });
    element.addEventListener("scroll", look, { passive: true });
    resized.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      resized.disconnect();
    };
  }, []);

  useLayoutEffect(() => {
    const element = scroll.current!;
    const { fromEnd, first, last } = seen.current;
    const [oldest, newest] = [messages[0], messages.at(-1)];
    seen.current.first = oldest?.id ?? "";
    seen.current.last = newest?.id ?? "";
    const added = newest !== undefined && newest.id !== last;
    const said = added && newest.userId === me.userId && newest.status === "pending";
    if (fromEnd < NEAR || said) element.scrollTop = element.scrollHeight;
    else if (first && oldest?.id !== first && !added) element.scrollTop = element.scrollHeight - element.clientHeight - fromEnd; // older ones came above
    else if (added && first) setNew(true);
    seen.current.fromEnd = element.scrollHeight - element.scrollTop - element.clientHeight;
  }, [messages, notes, me]);

  const toEnd = () => scroll.current?.scrollTo({ top: scroll.current.scrollHeight });
  return { scroll, isNew, toEnd };
}

function Day({ ts }: { ts: number }): ReactNode {
  const at = new Date(ts);
  const words = sameDay(at, new Date()) ? "Today" : at.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
  return <li className="day"><span>{words}</span></li>;
}

function typing(names: readonly string[]): string {
  if (names.length === 0) return "";
  if (names.length > 3) return "Several people are typing…";
  return `${names.join(", ").replace(/, ([^,]*)$/, " and $1")} ${names.length === 1 ? "is" : "are"} typing…`;
}
