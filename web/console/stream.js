// The live stream: what happened, the newest first, with what can be done again.

import { $, count, duration, element, pretty } from "./dom.js";
import * as api from "./api.js";

const KEPT = 600; // items in the page; the server keeps no more than 1,000

const GROUPS = {
  message: { words: "messages and replies", kinds: ["message", "reply"] },
  push: { words: "pushes", kinds: ["push"] },
  invoke: { words: "invocations", kinds: ["invoke", "schedule"] },
  output: { words: "what functions print", kinds: ["output"] },
  queue: { words: "queues and streams", kinds: ["queue", "stream", "dead"] },
  connect: { words: "connections", kinds: ["connect", "disconnect", "authorize"] },
};
const SIGNS = { message: "→", reply: "↩", push: "←", invoke: "λ", output: "│", schedule: "◷", queue: "≡", stream: "≡", dead: "†", connect: "+", disconnect: "−", authorize: "?" };

const hidden = new Set();
let items = []; // the newest first
let paused = false;
let waiting = []; // came while paused
let missed = 0; // that the server had no space for
let onlyProblems = false;
let handlers = { openConnection: () => {}, openSend: () => {}, openTrace: () => {} };

export function connect(given) {
  handlers = given;
}

// read finds out what an item is about, once.
function read(item) {
  let body = null;
  try {
    body = item.cut ? null : JSON.parse(item.data ?? "null");
  } catch {
    // not JSON: shown as it is
  }
  const object = body !== null && typeof body === "object" && !Array.isArray(body) ? body : null;
  const events = object?.batch ?? (object ? [object] : []);
  const bad = Boolean(item.error) || item.kind === "dead" || object?.ok === false || (item.kind === "message" || item.kind === "push" || item.kind === "authorize" ? item.status >= 400 : item.kind === "connect" && item.status !== 101);
  return { ...item, body, events, bad, id: events.find((each) => each?.id !== undefined && each?.seq)?.id, text: what({ ...item, object, events }),
    words: [item.kind, item.user, item.connection, item.route, item.function, item.queue, item.request, item.reason, item.error, item.data].join("\n").toLowerCase() };
}

// what says an item in one line.
function what({ kind, object, events, data = "", status, reason, function: name, queue, route, error }) {
  const place = (frame) => frame?.room ?? (frame?.channelId !== undefined ? `channel:${frame.channelId}` : frame?.communityId !== undefined ? `community:${frame.communityId}` : "");
  const words = (...parts) => parts.filter(Boolean).join(" ");
  switch (kind) {
    case "message":
      return object ? words(object.action ?? route, place(object), object.event) : words(route, data.slice(0, 100));
    case "push":
      if (status >= 400) return words(`refused with ${status}`, reason, error);
      if (events.length > 1) return words(`${count(events.length)} events`, place(events[0]), events[0]?.event);
      return object ? words(object.event ?? "a frame", place(object), object.seq ? `seq ${object.seq}` : "") : data.slice(0, 100);
    case "reply":
      if (object?.ok === false) return words("refused:", object.error?.code, object.error?.message);
      return object?.data ? words("done", place(object.data), object.data.seq ? `seq ${object.data.seq}` : "") : "done";
    case "invoke":
    case "schedule":
      return words(name, object?.command, (object?.rooms ?? object?.users ?? []).join(" "), object?.event);
    case "output":
      return words(`${name}:`, data.slice(0, 300));
    case "queue":
    case "stream":
      return words(queue, name, object?.Records ? `${count(object.Records.length)} ${kind === "queue" ? "messages" : "records"}` : "");
    case "dead":
      return words(queue, "gave up", reason);
    case "connect":
      return status === 101 ? "connected" : words(`refused with ${status}`, reason);
    case "disconnect":
      return words("disconnected", status, reason);
    case "authorize":
      return status >= 400 ? words("refused with", status, reason) : "authorized";
    default:
      return words(kind, reason);
  }
}

function fits(item) {
  const group = Object.keys(GROUPS).find((name) => GROUPS[name].kinds.includes(item.kind));
  if (hidden.has(group) || (onlyProblems && !item.bad)) return false;
  const search = $("search").value.trim().toLowerCase();
  return search === "" || search.split(/\s+/).every((word) => item.words.includes(word));
}

const clock = (at) => {
  const date = new Date(at);
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
};

function row(item) {
  const details = element("details", {},
    element("summary", {},
      element("time", { datetime: new Date(item.at).toISOString() }, clock(item.at)),
      element("span", { class: "sign", "aria-hidden": "true" }, item.bad ? "✗" : SIGNS[item.kind] ?? "·"),
      element("span", { class: "who" }, item.user || (item.connection ? item.connection.slice(0, 8) : "")),
      element("span", { class: "what" }, element("span", { class: "spoken" }, `${item.kind}: `), item.text),
      item.micros >= 10 ? element("span", { class: "took" }, duration(item.micros)) : ""));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(inside(item));
  });
  return element("li", { "data-testid": "item", "data-kind": item.kind, "data-n": item.n, class: item.bad ? "bad" : "" }, details);
}

function inside(item) {
  const answer = element("pre", { role: "status", class: "answer", "data-testid": "item-answer", hidden: true });
  const say = (text, failed = false) => {
    answer.hidden = false;
    answer.classList.toggle("failed", failed);
    answer.textContent = text;
  };
  const act = async (run) => {
    try {
      say(await run());
    } catch (err) {
      say(err.message, true);
    }
  };
  const button = (text, click, testid) => element("button", { type: "button", "data-testid": testid, click }, text);
  const actions = element("p", { class: "bar" });
  let payload = item.data ? element("pre", { class: "payload" }, pretty(item.data) + (item.cut ? "\n…" : "")) : "";
  if (item.kind === "message" && !item.cut) {
    const text = pretty(item.data);
    payload = element("textarea", { rows: Math.min(12, text.split("\n").length), spellcheck: "false", "aria-label": "The frame; it can be changed before it is replayed", "data-testid": "frame" }, text);
    actions.append(button("Replay", () => act(async () => {
      const { reply, micros } = await api.replay(item.connection, payload.value);
      return reply === "" ? `Done in ${duration(micros)}, no reply.` : `Replied in ${duration(micros)}:\n${pretty(reply)}`;
    }), "replay"));
  }
  if (item.kind === "push" && !item.cut) {
    actions.append(button("Push again", () => act(async () => {
      await api.push(item.connection, item.data);
      return "Pushed.";
    }), "push-again"));
    const event = item.events[0];
    if (event?.room) actions.append(button("Send again…", () => handlers.openSend(event), "send-again"));
  }
  if (item.kind === "message" && item.body?.action === "publish") {
    actions.append(button("Send as a program…", () => handlers.openSend(item.body)));
  }
  if (item.id) actions.append(button("Trace", () => handlers.openTrace(item.id), "trace"));
  if (item.connection) actions.append(button("Connection…", () => handlers.openConnection(item.connection)));
  const facts = [["connection", item.connection], ["route", item.route], ["function", item.function], ["request", item.request], ["queue", item.queue], ["status", item.status],
    ["reason", item.reason], ["bytes", item.bytes && count(item.bytes)], ["took", item.micros && duration(item.micros)], ["error", item.error]];
  return element("div", { class: "inside" },
    element("dl", {}, ...facts.filter(([, value]) => value).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value))))),
    payload, actions, answer);
}

function showCounts() {
  const rows = $("items").childElementCount;
  $("nothing").hidden = rows > 0;
  $("stream-count").textContent = paused ? `(paused, ${count(waiting.length)} new)` : `(${count(rows)})`;
  $("skipped").hidden = missed === 0;
  $("skipped").textContent = `${count(missed)} more happened than can be shown.`;
}

function render() {
  $("items").replaceChildren(...items.filter(fits).map(row));
  showCounts();
}

export function addItems(list) {
  if (paused) {
    waiting.push(...list);
    waiting = waiting.slice(-KEPT);
    showCounts();
    return;
  }
  // A message is told of when it is done, after what it led to; by its time it comes before.
  const fresh = list.map(read).sort((a, b) => b.at - a.at || b.n - a.n);
  items = [...fresh, ...items].slice(0, KEPT);
  const rows = $("items");
  const top = rows.scrollTop;
  const height = rows.scrollHeight;
  rows.prepend(...fresh.filter(fits).map(row));
  while (rows.childElementCount > KEPT) rows.lastElementChild.remove();
  if (top > 0) rows.scrollTop = top + rows.scrollHeight - height; // what somebody reads stays where it is
  showCounts();
}

export function addMissed(n) {
  missed += n;
  if (n > 0) showCounts();
}

export function filterStream(text) {
  $("search").value = text;
  render();
  $("search").focus();
}

for (const [name, { words }] of Object.entries(GROUPS)) {
  const box = element("input", { type: "checkbox", checked: true, "data-testid": `kind-${name}` });
  box.addEventListener("change", () => {
    if (box.checked) hidden.delete(name);
    else hidden.add(name);
    render();
  });
  $("kinds").append(element("label", { class: "check" }, box, words));
}
const problems = element("input", { type: "checkbox", "data-testid": "problems" });
problems.addEventListener("change", () => {
  onlyProblems = problems.checked;
  render();
});
$("kinds").append(element("label", { class: "check" }, problems, "problems only"));
$("search").addEventListener("input", render);
$("clear").addEventListener("click", () => {
  items = [];
  missed = 0;
  render();
});
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
  if (paused) return showCounts();
  const list = waiting;
  waiting = [];
  addItems(list);
});
showCounts();
