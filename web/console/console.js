// Who is connected and how much has happened, every two seconds. Whatever comes is put in as text.

const $ = (id) => document.getElementById(id);
const EVERY = 2_000;

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

async function get(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} answered HTTP ${response.status}`);
  return response.json();
}

function ago(at) {
  const seconds = Math.max(0, Math.round((Date.now() - new Date(at)) / 1000));
  const words = seconds < 60 ? `${seconds} s ago` : seconds < 3600 ? `${Math.floor(seconds / 60)} min ago` : `${(seconds / 3600).toFixed(1)} h ago`;
  return element("time", { datetime: at, title: new Date(at).toLocaleString() }, words);
}

function showConnections(list) {
  list.sort((a, b) => a.user.localeCompare(b.user) || a.connectedAt.localeCompare(b.connectedAt));
  $("count").textContent = `(${list.length})`;
  $("none").hidden = list.length > 0;
  $("connections").replaceChildren(...list.map(({ id, user, name, rooms, connectedAt, lastActiveAt, sourceIp = "" }) =>
    element("tr", { "data-testid": "connection", "data-user": user },
      element("th", { scope: "row" }, user || "—", name && name !== user ? ` (${name})` : ""),
      element("td", {}, ...rooms.map((room) => element("code", {}, room))),
      element("td", {}, ago(connectedAt)),
      element("td", {}, ago(lastActiveAt)),
      element("td", {}, element("code", {}, id), element("small", {}, sourceIp)))));
}

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
  const made = element("article", {}, element("h3", {}, title));
  if (plain.length > 0) {
    made.append(element("dl", {}, ...plain.map(([key, value]) =>
      element("div", {}, element("dt", {}, label(key)), element("dd", {}, shown(value))))));
  }
  if (rows.length > 0) {
    const columns = [...new Set(rows.flatMap(([, value]) => Object.keys(value)))];
    made.append(element("table", {},
      element("thead", {}, element("tr", {}, element("td"), ...columns.map((key) => element("th", { scope: "col" }, label(key))))),
      element("tbody", {}, ...rows.map(([name, value]) => element("tr", {},
        element("th", { scope: "row" }, name), ...columns.map((key) => element("td", {}, key in value ? shown(value[key]) : "")))))));
  }
  return made;
}

function showStats(stats) {
  const entries = Object.entries(stats);
  const groups = entries.filter(([, value]) => nested(value) && Object.values(value).some(nested));
  const plain = Object.fromEntries(entries.filter((entry) => !groups.includes(entry)).flatMap(([key, value]) =>
    nested(value) ? Object.entries(value).map(([inner, number]) => [`${key} · ${inner}`, number]) : [[key, value]]));
  $("stats").replaceChildren(numbers("in all", plain), ...groups.map(([key, value]) => numbers(label(key), value)));
}

async function refresh() {
  try {
    const [connections, stats] = await Promise.all([get("connections"), get("stats")]);
    showConnections(connections);
    showStats(stats);
    $("state").textContent = `As of ${new Date().toLocaleTimeString()}`;
  } catch (err) {
    $("state").textContent = `Cannot refresh: ${err.message}`;
  }
  setTimeout(refresh, EVERY);
}

refresh();
