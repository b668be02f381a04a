import { Fragment, useState } from "react";
import { Icon } from "./parts.js";
import { address, capitalised, other, type Me, type Place } from "./place.js";
import { useToast } from "./toasts.js";

const endpoint = location.host === "127.0.0.1:4000" ? "" : ` --endpoint ${location.origin}`;

/** What else there is to do with the page. */
export function TryIt({ me, place }: { me: Me; place: Place }) {
  const friend = other(me);
  const { over, ...rest } = place;
  const emit = (to: string, event: string, data: object) => `.bin/bellhop emit${endpoint} ${to} --event ${event} --data '${JSON.stringify(data)}'`;
  const commands = {
    "Ring the bell": emit(`--user ${me.userId}`, "notification:new", { title: "Hello", body: "From the terminal" }),
    "Complete a goal": emit(`--user ${me.userId}`, "buddy:goal-completed", { title: "Run 5 km", name: "Dario" }),
    "Check in": emit(`--user ${me.userId}`, "buddy:check-in", { note: "Day 3", name: "Dario" }),
    "Write in the channel": emit(`--room channel:${place.channel}`, "message:new", { content: "Good evening", userName: "Concierge" }),
  };
  const sides = `?${new URLSearchParams({ side: `${me.userId},${friend}`, ...place })}`;
  return (
    <section className="card" data-part="try" aria-labelledby="try-title">
      <div className="title"><h2 id="try-title">Try it</h2></div>
      <p>
        Be two people: <a href={address(friend, place)} target="_blank" rel="noopener" data-testid="second">open a second window as {capitalised(friend)}</a>,
        {" "}or <span className="nowrap"><Icon of="sides" /> <a href={sides} target="_top" data-testid="side">both side by side</a></span>.
      </p>
      <p>
        {over
          ? <>This window goes over socket.io-client. <a href={address(me.name, rest)} data-testid="over">Back to the client’s own WebSocket</a>.</>
          : <>The same hooks work <a href={address(me.name, { ...rest, over: "socket.io" })} data-testid="over">over socket.io-client</a>.</>}
      </p>
      <p>From a terminal, in Bellhop’s folder:</p>
      <ul className="commands" data-testid="commands">
        {Object.entries(commands).map(([label, command]) => <Command key={label} label={label} command={command} />)}
      </ul>
      <p><a href="_bellhop/" target="_blank" rel="noopener">Developer console</a>: open connections and numbers.</p>
    </section>
  );
}

function Command({ label, command }: { label: string; command: string }) {
  const [copied, setCopied] = useState(false);
  const toast = useToast();
  async function copy() {
    try {
      await navigator.clipboard.writeText(command);
    } catch {
      return toast("The browser does not let this page copy. Select the command instead.");
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
  }
  return (
    <li>
      <p>{label} <button type="button" aria-label={`Copy the command: ${label}`} data-testid="copy" onClick={() => void copy()}>{copied ? "Copied" : "Copy"}</button></p>
      <code>{command.split(" ").map((word, i) => <Fragment key={i}>{i > 0 && " "}<span>{word}</span></Fragment>)}</code>
    </li>
  );
}
