import { useState, type FormEvent } from "react";
import { slug } from "./place.js";
import { useToast } from "./toasts.js";

interface Props {
  /** For screen readers. */
  label: string;
  /** The word or sign before the field. */
  shown: string;
  /** Where one is; without it the field is empty. */
  value?: string;
  placeholder?: string;
  testid: string;
  onEnter: (name: string) => void;
}

/** A field with the name of a room, to go to another one. */
export function NameField({ label, shown, value = "", placeholder, testid, onEnter }: Props) {
  const [draft, setDraft] = useState<string | null>(null); // null: as it is
  const toast = useToast();
  function submit(event: FormEvent) {
    event.preventDefault();
    const name = slug(draft ?? value);
    if (!name) return toast("Names need at least one letter or digit.");
    setDraft(null);
    onEnter(name);
  }
  return (
    <form className="namefield" onSubmit={submit}>
      <label>
        <span aria-hidden="true">{shown}</span><span className="sr">{label}</span>
        <input value={draft ?? value} maxLength={60} required placeholder={placeholder} autoComplete="off" spellCheck={false} data-testid={testid}
          onChange={({ target }) => setDraft(target.value)} onFocus={({ target }) => target.select()} />
      </label>
      <button data-testid={`${testid}-join`} disabled={draft === null || draft === value}>Go</button>
    </form>
  );
}
