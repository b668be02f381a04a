// The dialogs for sending an event and for looking at the trace of one.

import { $, count, element } from "./dom.js";
import * as api from "./api.js";

export function openSend({ room = "", event = "message:new", data } = {}) {
  const { elements } = $("send-form");
  elements.room.value = room;
  elements.event.value = event;
  if (data !== undefined) elements.data.value = JSON.stringify(data, null, 2);
  answer("");
  $("send-dialog").showModal();
  (room === "" ? elements.room : elements.data).focus();
}

function answer(text, failed = false, ...more) {
  const line = $("send-dialog").querySelector(".answer");
  line.classList.toggle("failed", failed);
  line.replaceChildren(text, ...more);
}

$("send-form").addEventListener("submit", async (submitted) => {
  submitted.preventDefault();
  const { room, event, data, from, ephemeral } = $("send-form").elements;
  let parsed;
  try {
    parsed = data.value.trim() === "" ? undefined : JSON.parse(data.value);
  } catch (err) {
    answer(`The data is no JSON: ${err.message}`, true);
    return;
  }
  try {
    const sent = await api.send({ room: room.value.trim(), event: event.value.trim(), data: parsed, from: from.value.trim(), ephemeral: ephemeral.checked });
    if (!sent.id || !sent.seq) return answer("Sent.");
    answer(`Sent, seq ${sent.seq}. `, false, element("button", { type: "button", "data-testid": "send-trace", click: () => { $("send-dialog").close(); openTrace(sent.id); } }, "Trace"));
  } catch (err) {
    answer(err.message, true);
  }
});
$("open-send").addEventListener("click", () => openSend());

export function openTrace(id = "") {
  $("trace-form").elements.id.value = id;
  if (!$("trace-dialog").open) $("trace-dialog").showModal();
  return look();
}

async function look() {
  const id = $("trace-form").elements.id.value.trim();
  const result = $("trace-result");
  try {
    const list = await api.get(id === "" ? "traces" : `trace/${encodeURIComponent(id)}`);
    if (id === "") result.replaceChildren(list.length === 0 ? element("p", { class: "none" }, "No event was logged yet.") : newest(list));
    else result.replaceChildren(...list.map(timeline));
  } catch (err) {
    result.replaceChildren(element("p", { class: "answer failed" }, err.message));
  }
}

const outcome = (counts) => ["delivered", "gone", "throttled", "failed", "queued", "retried", "again"]
  .filter((name) => counts[name]).map((name) => `${count(counts[name])} ${name}`).join(", ") || "nobody was there";

function newest(list) {
  return element("table", {}, element("tbody", {}, ...list.map((trace) => element("tr", {},
    element("th", { scope: "row" }, element("button", { type: "button", class: "link", click: () => openTrace(trace.id) }, trace.event)),
    element("td", {}, element("code", {}, trace.room), ` seq ${trace.seq}`), element("td", {}, trace.from ?? ""), element("td", {}, outcome(trace.counts))))));
}

function timeline(trace) {
  const step = ({ at, afterMs, what, connection, user, detail }) => element("tr", { "data-testid": "step", "data-what": what, class: ["gone", "throttled", "failed"].includes(what) ? "bad" : "" },
    element("td", {}, element("time", { datetime: at }, new Date(at).toLocaleTimeString("en-GB"))), element("td", { class: "number" }, `+${afterMs.toFixed(1)} ms`),
    element("th", { scope: "row" }, what), element("td", {}, [user, detail].filter(Boolean).join(" "), " ", connection ? element("code", { class: "id" }, connection) : ""));
  const steps = trace.steps ?? [];
  return element("section", {},
    element("h3", {}, `${trace.event} in ${trace.room}`),
    element("p", {}, `seq ${trace.seq}${trace.from ? `, from ${trace.from}` : ""}: ${outcome(trace.counts)}`),
    element("table", {}, element("tbody", {}, ...steps.slice(0, 300).map(step))),
    steps.length > 300 || trace.unlisted ? element("p", { class: "none" }, `${count(Math.max(0, steps.length - 300) + (trace.unlisted ?? 0))} more are counted and not listed here.`) : "");
}

$("trace-form").addEventListener("submit", (event) => {
  event.preventDefault();
  look();
});
$("open-trace").addEventListener("click", () => openTrace());
