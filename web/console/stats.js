// The totals of the emulator, as the server groups them.

import { $, element } from "./dom.js";

// "framesIn" and "frames_in" read "frames in".
const label = (key) => key.replace(/([a-z\d])([A-Z])/g, (_, a, b) => `${a} ${b.toLowerCase()}`).replace(/_/g, " ");

function shown(value) {
  if (typeof value === "number") return value.toLocaleString("en");
  return typeof value === "string" ? value : JSON.stringify(value);
}

const nested = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// numbers is one group: a list of what is plain, and a table of what has the same numbers many times.
function numbers(title, object) {
  const entries = Object.entries(object);
  const plain = entries.filter(([, value]) => !nested(value));
  const rows = entries.filter(([, value]) => nested(value));
  const made = element("article", { class: "card wide" }, element("h3", {}, title));
  if (plain.length > 0) {
    made.append(element("dl", {}, ...plain.map(([key, value]) =>
      element("div", {}, element("dt", {}, label(key)), element("dd", {}, shown(value))))));
  }
  if (rows.length > 0) {
    const columns = [...new Set(rows.flatMap(([, value]) => Object.keys(value)))];
    made.append(element("table", {},
      element("thead", {}, element("tr", {}, element("td"), ...columns.map((key) => element("th", { scope: "col", class: "number" }, label(key))))),
      element("tbody", {}, ...rows.map(([name, value]) => element("tr", {},
        element("th", { scope: "row" }, name), ...columns.map((key) => element("td", { class: "number" }, key in value ? shown(value[key]) : "")))))));
  }
  return made;
}

export function showStats(stats) {
  const entries = Object.entries(stats);
  const groups = entries.filter(([, value]) => nested(value) && Object.values(value).some(nested));
  const plain = Object.fromEntries(entries.filter((entry) => !groups.includes(entry)).flatMap(([key, value]) =>
    nested(value) ? Object.entries(value).map(([inner, number]) => [`${key} · ${inner}`, number]) : [[key, value]]));
  $("stats").replaceChildren(numbers("in all", plain), ...groups.map(([key, value]) => numbers(label(key), value)));
}
