// Who is connected, in which rooms, and what can be done with a connection.

import { $, ago, count, element, plural } from "./dom.js";
import * as api from "./api.js";

let filterStream = () => {};
let openSend = () => {};

// connect says what a click leads to in the other parts of the page.
export function connect(handlers) {
  ({ filterStream, openSend } = handlers);
}

let latest = { connections: [], rooms: [] };

export async function refresh() {
  const q = $("who").value.trim();
  const overview = await api.get(`overview?${new URLSearchParams({ q })}`);
  if (q !== $("who").value.trim()) return; // typed on meanwhile
  latest = overview;
  api.learn(overview.stage);
  $("trouble").hidden = !overview.trouble;
  $("trouble").textContent = overview.trouble && `Nothing can be saved, and is refused: ${overview.trouble}`;
  const { connections, rooms, total, matching, roomTotal } = overview;
  $("count").textContent = q ? `(${count(matching)} of ${count(total)})` : `(${count(total)})`;
  $("none").hidden = total > 0;
  $("more-connections").hidden = matching <= connections.length;
  $("more-connections").textContent = `${count(matching - connections.length)} more; a filter finds them.`;
  $("room-count").textContent = `(${count(roomTotal)})`;
  keep($("connections"), connections.map(connectionRow));
  keep($("rooms"), rooms.map(roomRow));
  for (const id of ["open-send", "open-trace", "expire", "demo", "open-demo"]) $(id).hidden = !overview.bellhop;
  $("connect-below").hidden = overview.bellhop;
}

// keep puts rows in place of others without taking the focus from the one that has it.
function keep(list, rows) {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  list.replaceChildren(...rows);
  if (focused === undefined) return;
  [...list.querySelectorAll("button")].find((button) => button.dataset.key === focused)?.focus();
}

function connectionRow({ id, user, name, rooms, lastActiveAt }) {
  return element("li", { "data-testid": "connection", "data-user": user },
    element("button", { type: "button", class: "row", "data-key": id, click: () => openConnection(id) },
      element("strong", {}, user || "—", name && name !== user ? ` (${name})` : ""),
      ago(lastActiveAt),
      element("span", { class: "chips" }, ...rooms.map((room) => element("code", {}, room))),
      element("code", { class: "id" }, id)));
}

function roomRow({ room, connections, users }) {
  return element("li", { "data-testid": "room", "data-room": room },
    element("button", { type: "button", class: "row", "data-key": room, click: () => openRoom(room) },
      element("strong", {}, room), element("span", {}, connections === users ? plural(users, "user") : `${plural(users, "user")}, ${plural(connections, "connection")}`)));
}

const fact = (name, ...value) => element("div", {}, element("dt", {}, name), element("dd", {}, ...value));

let shown = "";

export function openConnection(id) {
  const dialog = $("connection-dialog");
  const known = latest.connections.find((each) => each.id === id);
  shown = id;
  $("connection-title").textContent = known?.user ? `${known.user}’s connection` : "Connection";
  $("connection-facts").replaceChildren(
    fact("Id", element("code", {}, id)),
    ...(known ? [fact("Connected", ago(known.connectedAt)), fact("Last active", ago(known.lastActiveAt)), fact("From", known.sourceIp, " ", element("small", {}, known.userAgent))] : [fact("State", "not in the list: closed, or filtered out")]));
  $("connection-rooms").replaceChildren(...(known?.rooms ?? []).map((room) =>
    element("button", { type: "button", click: () => { dialog.close(); openRoom(room); } }, room)));
  say("");
  dialog.showModal();
}

function say(text, failed = false) {
  const line = $("connection-dialog").querySelector(".answer");
  line.textContent = text;
  line.classList.toggle("failed", failed);
}

async function act(what, done) {
  try {
    await what();
    say(done);
  } catch (err) {
    say(err.message, true);
  }
  await refresh().catch(() => {});
}

$("push-form").addEventListener("submit", (event) => {
  event.preventDefault();
  act(() => api.push(shown, $("push-form").elements.frame.value), "Pushed.");
});
$("disconnect").addEventListener("click", () => act(() => api.disconnect(shown, latest.bellhop), "Disconnected."));
$("expire").addEventListener("click", () => act(() => api.expire(shown), "Its token is over, and it was closed."));
$("filter-connection").addEventListener("click", () => {
  $("connection-dialog").close();
  filterStream(shown);
});
$("who").addEventListener("input", () => refresh().catch(() => {}));

export async function openRoom(room) {
  const dialog = $("room-dialog");
  $("room-title").textContent = room;
  $("room-facts").replaceChildren();
  $("room-presence").replaceChildren();
  $("room-members").replaceChildren(element("li", {}, "Loading…"));
  $("room-send").onclick = () => { dialog.close(); openSend({ room }); };
  $("filter-room").onclick = () => { dialog.close(); filterStream(room); };
  dialog.showModal();
  try {
    const detail = await api.get(`rooms/${encodeURIComponent(room)}`);
    $("room-facts").replaceChildren(fact("Logged events", count(detail.seq)), fact("Epoch", element("code", {}, detail.epoch)), fact("Shards", count(detail.shards)));
    $("room-members").replaceChildren(
      ...detail.members.map(({ connection, user }) => element("li", { "data-testid": "member", "data-user": user },
        element("button", { type: "button", class: "row", click: () => { dialog.close(); openConnection(connection); } }, element("strong", {}, user), element("code", { class: "id" }, connection)))),
      detail.members.length === 0 ? element("li", { class: "none" }, "Nobody is in it.") : "", detail.more ? element("li", { class: "none" }, "… and more") : "");
    if (detail.presence.length > 0) {
      $("room-presence").replaceChildren(element("h3", {}, "Presence"), element("p", { class: "chips" },
        ...detail.presence.map(({ userId, status }) => element("code", { "data-testid": "present" }, `${userId}: ${status}`))));
    }
  } catch (err) {
    $("room-members").replaceChildren(element("li", { class: "none" }, err.message));
  }
}
