// The parts of the page, and what keeps them up to date: a stream of server-sent events, and a look every two seconds.

import { $ } from "./dom.js";
import { get } from "./api.js";
import { addPoints } from "./charts.js";
import * as client from "./client.js";
import * as cost from "./cost.js";
import { openSend, openTrace } from "./dialogs.js";
import * as lists from "./lists.js";
import { showStats } from "./stats.js";
import * as stream from "./stream.js";

const EVERY = 2_000;

lists.connect({ filterStream: stream.filterStream, openSend });
stream.connect({ openConnection: lists.openConnection, openSend, openTrace });

async function refresh() {
  if (!document.hidden) {
    try {
      const [stats] = await Promise.all([get("stats"), lists.refresh(), cost.refresh(), client.refresh()]);
      showStats(stats);
      $("state").textContent = `Live, as of ${new Date().toLocaleTimeString()}`;
    } catch (err) {
      $("state").textContent = `Cannot refresh: ${err.message}`;
    }
  }
  setTimeout(refresh, EVERY);
}

// A browser opens it again by itself, and says what it has already.
const events = new EventSource("events");
events.addEventListener("items", ({ data }) => stream.addItems(JSON.parse(data)));
events.addEventListener("points", ({ data }) => {
  const points = JSON.parse(data);
  addPoints(points);
  stream.addMissed(points.reduce((sum, point) => sum + (point.skipped ?? 0), 0));
});

refresh();
