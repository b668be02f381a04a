// The client: connections to the APIs that the server has, which it opens in the place of the page, since pages can give no headers.

import { $, element, pretty } from "./dom.js";
import * as api from "./api.js";

const KEPT = 200; // lines of a connection's log

let apis = [];
let opened = 0;

const chosen = () => apis.find((each) => each.id === $("connect-form").elements.api.value) ?? apis[0];

// refresh shows what can be connected to; a template that has changed may have other APIs and routes.
export async function refresh() {
  const { apis: latest } = await api.get("client");
  if (JSON.stringify(latest) === JSON.stringify(apis)) return;
  apis = latest;
  const { elements } = $("connect-form");
  const before = elements.api.value;
  elements.api.replaceChildren(...apis.map(({ id, path }) => element("option", { value: id }, apis.length > 1 ? `${id}, at ${path}` : path)));
  if (apis.some(({ id }) => id === before)) elements.api.value = before;
  offer();
  $("clients").querySelectorAll(".client").forEach((card) => card.dispatchEvent(new Event("routes")));
}

// offer fills in what the API's authorizer asks for, where nothing is written yet.
function offer() {
  const { elements } = $("connect-form");
  const { headers, query, subprotocols } = chosen();
  const bellhop = subprotocols.length > 0;
  if (bellhop && elements.subprotocols.value === "") [elements.subprotocols.value, elements.place.value] = [subprotocols.join(", "), "protocol"];
  $("make-token").hidden = !bellhop;
  if (elements.query.value === "") elements.query.value = query.map((name) => `${name}=`).join("&");
  if (elements.headers.value === "") elements.headers.value = headers.map((name) => `${name}: `).join("\n");
}

// wish is what the form says to connect with.
function wish() {
  const { elements } = $("connect-form");
  const headers = [];
  for (const line of elements.headers.value.split("\n").filter((each) => each.trim() !== "")) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`A header is written as Name: value, not as ${line}`);
    headers.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
  }
  const subprotocols = elements.subprotocols.value.split(",").map((each) => each.trim()).filter(Boolean);
  let query = elements.query.value.trim().replace(/^\?/, "");
  const token = elements.token.value.trim();
  if (token !== "") {
    if (elements.place.value === "header") headers.push(["Authorization", `Bearer ${token}`]);
    else if (elements.place.value === "query") query = [query, `token=${encodeURIComponent(token)}`].filter(Boolean).join("&");
    else subprotocols.push(`bearer.${token}`);
  }
  return { api: chosen().id, query, headers, subprotocols };
}

function say(text, failed = false) {
  const line = $("connect-answer");
  line.textContent = text;
  line.classList.toggle("failed", failed);
}

function open(connect) {
  const url = new URL("client/socket", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  let card;
  let over = false; // what is said at the end has been said
  const handlers = {
    open({ protocol }) {
      say("");
      card = show(socket, connect, protocol);
    },
    refused({ status, body = "", error }) {
      over = true;
      say(status ? `Refused with ${status}${body ? `: ${body}` : ""}` : `Not connected: ${error}`, true);
    },
    frame: (text) => card.log("←", "received", text),
    binary: (text) => card.log("←", "received, binary", text),
    closed({ code, reason }) {
      over = true;
      card.ended(`closed with ${code}${reason ? `, ${reason}` : ""}`);
    },
  };
  socket.addEventListener("open", () => socket.send(JSON.stringify({ connect })));
  socket.addEventListener("message", ({ data }) => {
    for (const [name, value] of Object.entries(JSON.parse(data))) handlers[name]?.(value);
  });
  socket.addEventListener("close", ({ reason }) => {
    if (over) return;
    const why = reason || "the server has ended it, or holds too many";
    if (card) card.ended(why);
    else say(`Not connected: ${why}`, true);
  });
}

// show makes the card of a connection.
function show(socket, connect, protocol) {
  opened++;
  const name = `Connection ${opened}`;
  const state = element("span", { role: "status", class: "state", "data-testid": "client-state" }, protocol ? `open, ${protocol}` : "open");
  const lines = element("ol", { class: "list log", tabindex: "0", role: "log", "aria-label": `What ${name} has sent and received`, "data-testid": "client-log" });
  const route = element("select", { "aria-label": "Route", "data-testid": "client-route" });
  const frame = element("textarea", { rows: "5", spellcheck: "false", "aria-label": "Frame", "data-testid": "client-frame" });
  const code = element("input", { type: "number", min: "1000", max: "4999", value: "1000", "aria-label": "Close code", "data-testid": "client-code" });
  const reason = element("input", { placeholder: "Reason", "aria-label": "Reason", autocomplete: "off", "data-testid": "client-reason" });
  const send = element("button", { class: "main", "data-testid": "client-send" }, "Send");
  const close = element("button", { type: "button", class: "danger", "data-testid": "client-close" }, "Close");
  const remove = element("button", { type: "button", hidden: true, "data-testid": "client-remove" }, "Remove");
  const form = element("form", {}, element("label", {}, "Route ", route), element("label", {}, "Frame ", frame),
    element("p", { class: "bar" }, send, close, code, reason));
  const card = element("section", { class: "card client", "data-testid": "client", "aria-label": name },
    element("p", { class: "bar" }, element("h3", {}, name), element("code", {}, address(connect)), state, remove), form, lines);

  const log = (sign, words, text) => {
    lines.prepend(element("li", { "data-testid": "client-line" },
      element("span", { class: "sign", "aria-hidden": "true" }, sign), element("span", { class: "spoken" }, `${words}: `),
      element("time", {}, new Date().toLocaleTimeString("en-GB")), element("pre", {}, pretty(text))));
    while (lines.childElementCount > KEPT) lines.lastElementChild.remove();
  };
  const ended = (words) => {
    state.textContent = words;
    log("−", "ended", words);
    for (const each of [send, close, code, reason]) each.disabled = true;
    remove.hidden = false;
  };
  const routes = () => {
    const known = apis.find(({ id }) => id === connect.api)?.routes ?? [];
    const before = route.value;
    route.replaceChildren(...known.map(({ key, answers }) => element("option", { value: key }, answers ? `${key} (answers)` : key)));
    if (known.some(({ key }) => key === before)) route.value = before;
    if (frame.value === "") example();
  };
  const example = () => {
    const known = apis.find(({ id }) => id === connect.api)?.routes.find(({ key }) => key === route.value);
    frame.value = known?.example ? pretty(known.example) : "";
    frame.placeholder = known && !known.example ? "The route selection expression leads no frame here." : "";
  };
  route.addEventListener("change", example);
  card.addEventListener("routes", routes);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (send.disabled) return;
    socket.send(JSON.stringify({ send: frame.value }));
    log("→", "sent", frame.value);
  });
  frame.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  close.addEventListener("click", () => {
    if (!code.reportValidity()) return;
    socket.send(JSON.stringify({ close: { code: Number(code.value), reason: reason.value } }));
  });
  remove.addEventListener("click", () => {
    card.remove();
    $("connect").focus();
  });
  routes();
  $("clients").prepend(card);
  frame.focus();
  return { log, ended };
}

function address({ api: id, query }) {
  const path = apis.find((each) => each.id === id)?.path ?? "";
  return path + (query ? `?${query.replace(/((?:^|&)token=)[^&]+/, "$1…")}` : "");
}

$("make-token").addEventListener("click", async () => {
  try {
    const { token } = await api.mint("console");
    $("connect-form").elements.token.value = token;
    say("");
  } catch (err) {
    say(err.message, true);
  }
});
$("connect-form").elements.api.addEventListener("change", offer);
$("connect-form").addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    open(wish());
    say("Connecting…");
  } catch (err) {
    say(err.message, true);
  }
});
