import { useSyncExternalStore } from "react";
import type { Network } from "./network.js";
import { count } from "./parts.js";

/** Dollars for a message of API Gateway: its list price in us-east-1. Functions and the table come on top; the console has all of it. */
const PRICE = 1 / 1_000_000;

/** What goes over the WebSocket of this window: how much, how fast, and what it would cost. */
export function Wire({ network }: { network: Network }) {
  const { frames, count: all, billed, took } = useSyncExternalStore(network.subscribe, network.getTraffic);
  return (
    <details className="wire" data-testid="wire">
      <summary>
        <span>{count(all, "frame")}</span>
        <span data-testid="latency">{took === undefined ? "no answer yet" : `last answer ${took < 10 ? took.toFixed(1) : took.toFixed(0)} ms`}</span>
        <span data-testid="price">${(billed * PRICE).toFixed(6)} <span className="wide">of messages on AWS</span></span>
      </summary>
      <ol>
        {[...frames].reverse().map(({ id, out, text, took: ms }) => (
          <li key={id}>
            <span aria-label={out ? "sent" : "received"}>{out ? "↑" : "↓"}</span> <code>{text.slice(0, 300)}</code>
            {ms !== undefined && <span className="took">{ms.toFixed(1)} ms</span>}
          </li>
        ))}
      </ol>
    </details>
  );
}
