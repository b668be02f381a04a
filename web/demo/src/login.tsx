import type { FormEvent } from "react";
import { Icon } from "./parts.js";
import type { Query } from "./place.js";

export function Login({ query, error, onLogin }: { query: Query; error: string; onLogin: (fields: Query) => void }) {
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    onLogin(Object.fromEntries(new FormData(event.currentTarget)) as Query);
  }
  return (
    <main className="login">
      <form className="card" data-testid="login" onSubmit={submit}>
        <div className="brand">
          <img src="favicon.svg" alt="" width="48" height="48" />
          <h1>Bellhop</h1>
        </div>
        <p>Chat, typing, presence and notifications, live. Any name will do: open this page twice, log in under two names, and talk.</p>
        <label>Your name <input name="user" autoComplete="username" maxLength={60} required autoFocus defaultValue={query.user} data-testid="login-name" /></label>
        <div className="pair">
          <label>Channel <input name="channel" maxLength={60} required defaultValue={query.channel || "lobby"} data-testid="login-channel" /></label>
          <label>Community <input name="community" maxLength={60} required defaultValue={query.community || "town"} data-testid="login-community" /></label>
        </div>
        {error && <p className="error" role="alert" data-testid="login-error">{error}</p>}
        <button className="primary" data-testid="login-submit">Log in</button>
        <p className="or"><Icon of="sides" /> <a href="?side=ana,bob" target="_top" data-testid="side">Be Ana and Bob side by side</a></p>
      </form>
    </main>
  );
}
