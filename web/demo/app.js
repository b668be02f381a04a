// The page: what connection.js hears becomes elements, what people do becomes actions. Whatever a server or a person
// says is put in as text, never as HTML.

import { Connection, newID } from "./connection.js";

const $ = (id) => document.getElementById(id);
const PAGE = 30; // messages
const TYPING_EVERY = 3_000;

// element makes one: attributes by name, functions as listeners ("onclick"), strings as text.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made[name] = value;
    else if (value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

const slug = (name) =>
  name.normalize("NFKD").toLowerCase().replace(/\p{M}/gu, "").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
const capitalised = (name) => name.trim().replace(/(^|\s)\p{Ll}/gu, (letter) => letter.toUpperCase());
const text = (value) => (typeof value === "string" ? value : JSON.stringify(value ?? null));
const sentence = (err) => (err.code ? `${err.message} (${err.code})` : err.message);

function toast(words, kind = "error") {
  const made = element("p", { class: `toast ${kind}`, role: kind === "error" ? "alert" : "status", "data-testid": "toast" }, words);
  made.append(element("button", { class: "link", "aria-label": "Dismiss", onclick: () => made.remove() }, "×"));
  $("toasts").append(made);
  setTimeout(() => made.remove(), kind === "error" ? 10_000 : 5_000);
}

function time(ts) {
  const at = new Date(ts);
  const today = at.toDateString() === new Date().toDateString();
  const short = { hour: "2-digit", minute: "2-digit", ...(!today && { day: "numeric", month: "short" }) };
  return element("time", { datetime: at.toISOString(), title: at.toLocaleString() }, at.toLocaleString([], short));
}

function avatar(userId, name) {
  const made = element("span", { class: "avatar", "aria-hidden": "true" }, [...name][0]?.toUpperCase() ?? "?");
  let hue = 0;
  for (const char of userId) hue = (hue * 31 + char.codePointAt(0)) % 360;
  made.style.setProperty("--hue", hue);
  return made;
}

// —— who and where ——

const me = { userId: "", name: "" };
const place = { channel: "", community: "" };
let connection;

async function token() {
  const response = await fetch("_bellhop/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user: me.userId, name: me.name }),
  });
  const answer = await response.json().catch(() => ({}));
  if (response.ok && answer.token) return answer.token;
  const err = new Error(answer.error ?? `The server gave no token (HTTP ${response.status}).`);
  err.final = response.status >= 400 && response.status < 500;
  throw err;
}

function remember() {
  const query = new URLSearchParams({ user: me.name, ...place });
  history.replaceState(null, "", `?${query}`);
}

async function login(fields) {
  me.name = capitalised(fields.user ?? "");
  me.userId = slug(me.name);
  place.channel = slug(fields.channel || "lobby");
  place.community = slug(fields.community || "town");
  if (!me.userId || !place.channel || !place.community) throw new Error("Names need at least one letter or digit.");
  let first = await token(); // what is wrong with the name shows in the form
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  connection = new Connection({
    url: `${scheme}//${location.host}/dev`,
    token: () => {
      const given = first ?? token();
      first = null;
      return given;
    },
    on: { state: showState, event: sessionEvent, error: (err) => toast(sentence(err)) },
  });
  remember();
  $("login").hidden = true;
  $("app").hidden = false;
  $("me").replaceChildren(avatar(me.userId, me.name), element("span", {}, me.name));
  showHints();
  enterUser();
  enterChannel(place.channel);
  enterCommunity(place.community);
  connection.start();
  $("content").focus();
}

function showState(state, detail) {
  const words = { connecting: "Connecting…", open: "Connected", closed: "Closed" };
  const badge = $("connection");
  badge.dataset.state = state === "waiting" ? "connecting" : state;
  badge.title = badge.textContent = words[state] ?? `Offline, trying again in ${Math.ceil(detail / 1000)} s`;
  $("reconnect").hidden = state !== "closed";
  if (state === "closed" && detail) toast(detail);
}

function sessionEvent({ event, data }) {
  if (event !== "session:ending") return;
  if (data?.reason === "expired") return toast("The token has expired; connecting with a new one.", "info");
  connection.stop(`The server has ended this session: ${text(data?.reason)}.`);
}

// —— chat ——

let channel; // the Room
let oldest = 0; // seq of the oldest loaded event of its log
const messages = new Map(); // id → {id, seq, ts, from, content, state: pending|sent|failed|deleted, error, row}
const typists = new Map(); // user id → {name, timer}

function enterChannel(name) {
  if (channel && name !== place.channel) connection.leave(channel.name);
  place.channel = name;
  $("channel").value = name;
  for (const [id, message] of messages) {
    message.row.remove();
    messages.delete(id);
  }
  $("messages").replaceChildren();
  $("older").hidden = true;
  for (const userId of [...typists.keys()]) stoppedTyping(userId);
  const room = connection.room(`channel:${name}`, {
    reload: () => reloadMessages(room),
    event: (event) => channelEvent(event),
    joined: ({ result, again, missed }) => {
      const count = missed === 1 ? "1 event" : `${missed} events`;
      if (again && result.recovered) note(missed ? `Reconnected; ${count} recovered.` : "Reconnected; nothing was missed.");
      else if (again) note("Reconnected; the log does not reach back, so the history was loaded again.");
      sendPending();
    },
    error: (err) => note(sentence(err), "error"),
  });
  channel = room;
}

async function reloadMessages(room) {
  const got = await connection.request({ action: "history", room: room.name, limit: PAGE });
  if (room !== channel) return;
  for (const [id, message] of messages) {
    if (!message.seq) continue; // not sent yet
    message.row.remove();
    messages.delete(id);
  }
  oldest = 0;
  showPage(got);
  $("scroll").scrollTop = $("scroll").scrollHeight;
}

function showPage({ events, more }) {
  $("scroll").setAttribute("aria-busy", "true"); // not to be read out
  for (const event of events) channelEvent(event, true);
  $("scroll").setAttribute("aria-busy", "false");
  oldest = events[0]?.seq ?? oldest;
  $("older").hidden = !more;
}

async function loadOlder() {
  const room = channel;
  $("older").disabled = true;
  try {
    const got = await connection.request({ action: "history", room: room.name, before: oldest, limit: PAGE });
    if (room !== channel) return;
    const below = $("scroll").scrollHeight - $("scroll").scrollTop;
    showPage(got);
    $("scroll").scrollTop = $("scroll").scrollHeight - below;
  } catch (err) {
    toast(sentence(err));
  } finally {
    $("older").disabled = false;
  }
}

function channelEvent({ event, seq, id, ts, from, data }, old = false) {
  switch (event) {
    case "message:new": {
      if (from) stoppedTyping(from.userId);
      const known = messages.get(id);
      if (known?.state === "deleted") return;
      const state = data === null || data === undefined ? "deleted" : "sent";
      showMessage({ ...known, id, seq, ts, from, content: text(data?.content ?? data), state }, old);
      break;
    }
    case "message:deleted": {
      const message = messages.get(data?.messageId);
      if (message) showMessage({ ...message, state: "deleted" }, old);
      break;
    }
    case "user:typing":
      if (from && from.userId !== me.userId) startedTyping(from, data?.until);
      break;
    case "user:stopped-typing":
      stoppedTyping(from?.userId);
      break;
    case "room:closed":
      note(`This channel was closed: ${text(data?.reason)}. Switch to it again to start over.`);
      break;
    default: // an application's own
      if (!messages.has(id)) note(`${from?.name ?? "Event"}: ${event} ${text(data)}`);
  }
}

// showMessage puts a message where its seq belongs; one without a seq is the newest.
function showMessage(message, old = false) {
  const scroll = $("scroll");
  const atEnd = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
  const row = messageRow(message);
  const before = message.row;
  if (before && before.dataset.seq === row.dataset.seq) before.replaceWith(row);
  else {
    before?.remove();
    let next = null;
    for (let last = $("messages").lastElementChild; last; last = last.previousElementSibling) {
      if (Number(last.dataset.seq) <= Number(row.dataset.seq)) break;
      next = last;
    }
    $("messages").insertBefore(row, next);
  }
  messages.set(message.id, { ...message, row });
  for (const each of [row, row.nextElementSibling]) {
    const above = each?.previousElementSibling;
    each?.classList.toggle("follows", above?.dataset.user === each.dataset.user && each.dataset.ts - above.dataset.ts < 300_000);
  }
  if (atEnd || (!message.seq && message.state === "pending")) scroll.scrollTop = scroll.scrollHeight;
  else if (!old && !before && message.from?.userId !== me.userId) $("newest").hidden = false;
}

function messageRow(message) {
  const { id, seq, ts, from, content, state, error } = message;
  const name = from?.name || from?.userId || "Server";
  const own = from?.userId === me.userId;
  const attributes = {
    class: `message ${own ? "own" : ""} ${state}`, "data-testid": "message", "data-state": state, "data-id": id,
    "data-seq": seq ?? Number.MAX_SAFE_INTEGER, "data-user": from?.userId ?? "", "data-ts": ts,
  };
  const meta = element("p", { class: "meta" }, element("b", {}, own ? "You" : name), " ", time(ts));
  const body = element("p", { class: "bubble", "data-testid": "message-content" }, state === "deleted" ? "Message deleted" : content);
  const line = element("div", { class: "line" }, body);
  const block = element("div", {}, meta, line);
  const button = (name, words, onclick) => element("button", { class: "link", "data-testid": name, onclick }, words);
  if (state === "pending") line.prepend(element("span", { class: "side" }, "Sending…"));
  if (state === "sent" && own) {
    line.prepend(button("delete", "Delete", () => deleteMessage(id)), element("span", { class: "side", title: "Sent" }, "✓", element("span", { class: "sr" }, "sent")));
  }
  if (state === "failed") {
    const words = element("span", { class: "error" }, `Not sent: ${error}`);
    block.append(element("p", { class: "foot" }, words, " ", button("retry", "Try again", () => retry(id)), button("discard", "Discard", () => discard(id))));
  }
  return element("li", attributes, own ? undefined : avatar(from?.userId ?? "", name), block);
}

function note(words, kind = "") {
  const last = [...messages.values()].reduce((seq, each) => Math.max(seq, each.seq ?? 0), 0);
  $("messages").append(element("li", { class: `note ${kind}`, "data-testid": "note", "data-seq": last }, words));
  $("scroll").scrollTop = $("scroll").scrollHeight;
}

function say(content) {
  showMessage({ id: newID(), ts: Date.now(), from: { ...me }, content, state: "pending" });
  signalStop();
  sendPending();
}

// One at a time, since the server runs the actions of one connection at the same time. A message that the connection
// was lost under stays pending: the next join sends it again, and its id keeps the server from logging it twice.
let sending = false;
async function sendPending() {
  if (sending || !channel.ready) return; // joining sends them
  sending = true;
  const room = channel;
  for (let next; (next = [...messages.values()].find((each) => each.state === "pending")) && room === channel; ) {
    const { id, content } = next;
    let outcome;
    try {
      const { seq, ts } = await connection.request({ action: "publish", id, room: room.name, event: "message:new", data: { content } });
      outcome = { state: "sent", seq, ts };
    } catch (err) {
      if (err.code === "disconnected") break;
      outcome = { state: "failed", error: sentence(err) };
    }
    const now = messages.get(id);
    if (now?.state === "pending") showMessage({ ...now, ...outcome });
  }
  sending = false;
  if (room !== channel) sendPending();
}

function retry(id) {
  showMessage({ ...messages.get(id), state: "pending", error: undefined });
  sendPending();
}

function discard(id) {
  messages.get(id).row.remove();
  messages.delete(id);
}

async function deleteMessage(messageId) {
  try {
    await connection.request({ action: "message:delete", channelId: place.channel, messageId });
  } catch (err) {
    toast(sentence(err));
  }
}

// —— typing ——

let signalled = 0; // when typing:start went out last
let typing = false;
let typingTimer = 0;

function signalTyping() {
  clearTimeout(typingTimer);
  if (!$("content").value) return signalStop();
  const early = signalled + TYPING_EVERY - Date.now();
  if (early > 0) typingTimer = setTimeout(signalTyping, early);
  else if (connection.send({ action: "signal", room: channel.name, event: "typing:start" })) {
    signalled = Date.now();
    typing = true;
  }
}

function signalStop() {
  clearTimeout(typingTimer);
  if (typing) connection.send({ action: "signal", room: channel.name, event: "typing:stop" });
  typing = false;
}

function startedTyping({ userId, name }, until) {
  clearTimeout(typists.get(userId)?.timer);
  const left = Math.min(Math.max(until - Date.now() || 0, 1_000), 8_000); // whatever this machine's clock says
  typists.set(userId, { name: name || userId, timer: setTimeout(() => stoppedTyping(userId), left) });
  showTyping();
}

function stoppedTyping(userId) {
  clearTimeout(typists.get(userId)?.timer);
  if (typists.delete(userId)) showTyping();
}

function showTyping() {
  const names = [...typists.values()].map(({ name }) => name);
  if (names.length > 3) names.splice(0, names.length, "Several people");
  const are = names.length === 1 && names[0] !== "Several people" ? "is" : "are";
  $("typing").textContent = names.length ? `${names.join(", ").replace(/, ([^,]*)$/, " and $1")} ${are} typing…` : "";
}

// —— presence ——

let community; // the Room
const people = new Map(); // user id → Occupant
let chosen = ""; // the status chosen in this window

function enterCommunity(name) {
  if (community && name !== place.community) connection.leave(community.name);
  place.community = name;
  $("community").value = name;
  people.clear();
  showPeople();
  const room = connection.room(`community:${name}`, {
    reload: () => {},
    event: communityEvent,
    joined: ({ result }) => {
      people.clear();
      for (const occupant of result.presence ?? []) people.set(occupant.userId, occupant);
      const mine = people.get(me.userId)?.status;
      if (chosen && mine && mine !== chosen) setStatus(chosen); // after an absence that was longer than the grace
      showPeople();
    },
    error: (err) => toast(sentence(err)),
  });
  community = room;
}

function communityEvent({ event, data }) {
  const userId = data?.userId;
  if (userId && ["user:online", "presence:changed"].includes(event)) people.set(userId, { ...people.get(userId), ...data });
  else if (event === "user:offline") people.delete(userId);
  else if (event === "room:closed") people.clear();
  showPeople();
}

function showPeople() {
  const mine = people.get(me.userId)?.status;
  if ([...$("status").options].some(({ value }) => value === mine)) $("status").value = mine;
  const list = [...people.values()].sort((a, b) => (b.userId === me.userId) - (a.userId === me.userId) || (a.name || a.userId).localeCompare(b.name || b.userId));
  $("people").replaceChildren(...list.map(({ userId, name = userId, status }) =>
    element("li", { "data-testid": "person", "data-user": userId, "data-status": status },
      avatar(userId, name), element("span", { class: "name" }, name, userId === me.userId ? " (you)" : ""), element("span", { class: "state" }, status))));
}

async function setStatus(status) {
  chosen = status;
  try {
    await connection.request({ action: "presence", room: community.name, status });
  } catch (err) {
    toast(sentence(err));
    showPeople();
  }
}

// —— notifications and buddies: the log of the user's own room ——

const notifications = new Map(); // id → {id, seq, ts, title, body, read}
const read = new Set(); // ids, in case the reading is known first

function enterUser() {
  const room = connection.room(`user:${me.userId}`, {
    reload: async () => {
      const { events } = await connection.request({ action: "history", room: room.name, limit: 200 });
      for (const event of events) userEvent(event, true);
    },
    event: (event) => userEvent(event),
    joined: () => showNotifications(),
    error: (err) => toast(sentence(err)),
  });
}

function userEvent({ event, seq, id, ts, from, data }, old = false) {
  const who = from?.name || from?.userId || data?.name || "A buddy";
  if (event === "notification:new") {
    const { title, type, body = "" } = data ?? {};
    if (!old) toast(text(title ?? type ?? "Notification"), "info");
    notifications.set(id, { id, seq, ts, title: text(title ?? type ?? "Notification"), body: text(body), read: read.has(id) });
  } else if (event === "notification:read") markRead(data?.notificationId);
  else if (event === "buddy:goal-completed") showActivity(id, ts, "★", `${who} completed a goal: ${text(data?.title ?? data?.goal ?? data?.goalId ?? "")}`);
  else if (event === "buddy:check-in") showActivity(id, ts, "✓", `${who} checked in: ${text(data?.note ?? data?.goalId ?? "")}`);
  else if (ts) showActivity(id, ts, "•", `${event} ${text(data)}`);
  if (!old) showNotifications();
}

function markRead(id) {
  read.add(id);
  const notification = notifications.get(id);
  if (notification) notification.read = true;
}

function showNotifications() {
  const list = [...notifications.values()].sort((a, b) => b.seq - a.seq);
  const unread = list.filter((each) => !each.read).length;
  $("unread").hidden = unread === 0;
  $("unread").replaceChildren(String(unread), element("span", { class: "sr" }, " unread"));
  document.title = unread ? `(${unread}) Bellhop demo` : "Bellhop demo";
  $("read-all").hidden = unread === 0;
  $("notification-list").replaceChildren(...list.map(({ id, ts, title, body, read }) =>
    element("li", { "data-testid": "notification", "data-id": id, "data-read": String(read) },
      element("div", {}, element("b", {}, title), body ? element("p", {}, body) : undefined, time(ts)),
      read ? undefined : element("button", { class: "link", "data-testid": "mark-read", onclick: () => sendRead([id]) }, "Mark as read"))));
}

async function sendRead(ids) {
  try {
    for (const notificationId of ids) {
      await connection.request({ action: "notification:read", notificationId });
      markRead(notificationId);
    }
  } catch (err) {
    toast(sentence(err));
  }
  showNotifications();
}

function showActivity(id, ts, sign, words) {
  if (document.querySelector(`[data-activity="${CSS.escape(id)}"]`)) return;
  $("activity").prepend(element("li", { "data-testid": "activity-item", "data-activity": id },
    element("span", { class: "sign", "aria-hidden": "true" }, sign), element("span", {}, words, " ", time(ts))));
}

// —— the rest of the page ——

function showHints() {
  const other = me.userId === "bob" ? "ana" : "bob";
  $("second").textContent = `open a second window as ${capitalised(other)}`;
  const at = location.host === "127.0.0.1:4000" ? "" : ` --endpoint ${location.origin}`;
  const commands = { "notification:new": { title: "Hello" }, "buddy:goal-completed": { title: "Run 5 km" }, "buddy:check-in": { note: "Day 3" } };
  $("commands").replaceChildren(...Object.entries(commands).map(([event, data]) => {
    const command = `bellhop emit${at} --user ${me.userId} --event ${event} --data '${JSON.stringify(data)}'`;
    const copy = async ({ target }) => {
      await navigator.clipboard.writeText(command);
      target.textContent = "Copied";
      setTimeout(() => (target.textContent = "Copy"), 2_000);
    };
    return element("li", {}, element("code", {}, command), element("button", { onclick: copy, "aria-label": `Copy the command for ${event}` }, "Copy"));
  }));
  $("second").href = `?${new URLSearchParams({ user: other, ...place })}`;
}

function switchTo(form, field, enter) {
  form.addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const name = slug($(field).value);
    if (!name) return toast("Names need at least one letter or digit.");
    enter(name);
    remember();
    showHints();
  });
}

$("login-form").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  $("login-error").textContent = "";
  await login(Object.fromEntries(new FormData(submitted.target))).catch((err) => ($("login-error").textContent = sentence(err)));
});
switchTo($("channel-form"), "channel", enterChannel);
switchTo($("community-form"), "community", enterCommunity);
$("compose").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const content = $("content").value.trim();
  $("content").value = "";
  if (content) say(content);
});
$("content").addEventListener("keydown", (key) => {
  if (key.key !== "Enter" || key.shiftKey || key.isComposing) return;
  key.preventDefault();
  $("compose").requestSubmit();
});
$("content").addEventListener("input", signalTyping);
$("older").addEventListener("click", loadOlder);
$("newest").addEventListener("click", () => ($("scroll").scrollTop = $("scroll").scrollHeight));
$("scroll").addEventListener("scroll", ({ target }) => {
  if (target.scrollHeight - target.scrollTop - target.clientHeight < 60) $("newest").hidden = true;
});
$("status").addEventListener("change", ({ target }) => setStatus(target.value));
$("read-all").addEventListener("click", () => sendRead([...notifications.values()].filter((each) => !each.read).map(({ id }) => id)));
$("reconnect").addEventListener("click", () => connection.start());
$("logout").addEventListener("click", () => location.assign(location.pathname));
document.querySelector("nav").addEventListener("click", ({ target }) => {
  if (!target.dataset.show) return;
  $("app").dataset.view = target.dataset.show;
  for (const button of document.querySelectorAll("nav button")) button.setAttribute("aria-pressed", button === target);
});

function askName({ user = "", channel, community } = {}) {
  $("login").hidden = false;
  const fields = $("login-form").elements;
  for (const [name, value] of Object.entries({ user, channel, community })) if (value) fields[name].value = value;
  fields.user.focus();
}

const query = Object.fromEntries(new URLSearchParams(location.search));
if (!query.user) askName(query);
else {
  login(query).catch((err) => {
    askName(query);
    $("login-error").textContent = sentence(err);
  });
}
