import { useEffect, useState, type FormEvent, type KeyboardEvent, type RefObject } from "react";

interface Props {
  channel: string;
  compose: RefObject<HTMLTextAreaElement | null>;
  onSend: (content: string) => Promise<unknown>;
  onTyping: () => void;
  onStop: () => void;
}

/** Enter sends, Shift+Enter begins a new line. */
export function Composer({ channel, compose, onSend, onTyping, onStop }: Props) {
  const [draft, setDraft] = useState("");

  // Not on a phone, whose keyboard would come up, nor in a frame, where there are others.
  useEffect(() => {
    if (matchMedia("(hover: hover)").matches && window === parent) compose.current?.focus();
  }, [compose]);

  function change(value: string) {
    setDraft(value);
    if (value) onTyping();
    else onStop();
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    const content = draft.trim();
    setDraft("");
    if (content) void onSend(content); // a failure shows in the message
    else onStop();
  }

  function key(event: KeyboardEvent<HTMLTextAreaElement>) {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    event.currentTarget.form?.requestSubmit();
  }

  return (
    <form className="compose" onSubmit={submit}>
      <label>
        <span className="sr">Message to #{channel}</span>
        <textarea rows={1} ref={compose} value={draft} placeholder="Write a message" data-testid="content" onChange={({ target }) => change(target.value)} onKeyDown={key} />
      </label>
      <button className="primary" data-testid="send">Send</button>
    </form>
  );
}
