// The three charts: a few lines over the last five minutes, drawn as SVG.

import { $, count, drawn, element } from "./dom.js";

const SECONDS = 300;
const WIDTH = 300;
const HEIGHT = 80;

const CHARTS = {
  "chart-messages": { title: "Messages a second", lines: [["in", (p) => p.in], ["out", (p) => p.out]], unit: "" },
  "chart-invocations": { title: "Invocations a second", lines: [["all", (p) => p.invocations], ["failed", (p) => p.errors]], unit: "" },
  "chart-latency": { title: "Latency", lines: [["p50", (p) => p.p50], ["p99", (p) => p.p99]], unit: " ms", gaps: true, log: true },
};

// niceMax is a round number above all values, so that the scale does not jump about.
function niceMax(most) {
  if (most <= 0) return 1;
  const magnitude = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((n) => n * magnitude).find((n) => n >= most);
}

// scaleOf says how high a value stands, from 0 to 1, and where the grid and its words are. Latencies are drawn by tens: one slow answer
// would press all others to the ground.
function scaleOf({ unit, log }, most) {
  if (!log) {
    const max = niceMax(most);
    return { of: (n) => n / max, grid: [0, 0.5, 1], words: `scale to ${count(max)}${unit}`, most: max };
  }
  const [low, high] = [-1, Math.max(1, Math.ceil(Math.log10(Math.max(most, 1))))]; // 0.1 ms, and 10 ms at least
  const of = (n) => Math.min(1, Math.max(0, (Math.log10(n) - low) / (high - low)));
  const grid = Array.from({ length: high - low + 1 }, (_, i) => i / (high - low));
  return { of, grid, words: `${Array.from({ length: high - low + 1 }, (_, i) => count(10 ** (low + i))).join(", ")}${unit}`, most: 10 ** high };
}

const heightOf = (share) => (HEIGHT - share * (HEIGHT - 4) - 1).toFixed(1);

// path breaks the line where a second is missing, or has no value if that means that there was nothing.
function path(points, value, scale, now, gaps) {
  let d = "";
  let drawing = false;
  let before = 0;
  for (const p of points) {
    const n = value(p);
    if (gaps && n === 0) continue;
    const x = WIDTH - (now - p.at) * (WIDTH / SECONDS);
    const y = heightOf(scale.of(n));
    const joined = drawing && p.at - before <= (gaps ? 10 : 3);
    d += `${joined ? "L" : "M"}${x.toFixed(1)} ${y}`;
    if (gaps && !joined) d += `L${(x + 3).toFixed(1)} ${y}`; // one second alone is still seen
    drawing = true;
    before = p.at;
  }
  return d;
}

function draw(id, points) {
  const { title, lines, unit, gaps } = CHARTS[id];
  const last = points.at(-1);
  const now = last?.at ?? 0;
  const scale = scaleOf(CHARTS[id], Math.max(0, ...points.flatMap((p) => lines.map(([, value]) => value(p)))));
  const shown = lines.map(([name, value]) => {
    const newest = gaps ? points.findLast((p) => value(p) > 0) : last;
    return `${name} ${newest ? count(value(newest)) + unit : "–"}`;
  });
  const caption = element("figcaption", {}, element("span", { class: "label" }, title),
    ...shown.map((text, i) => element("span", { class: `key line-${i}` }, text)));
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${shown.join(", ")}, at most ${count(scale.most)}${unit} in the last five minutes` },
    drawn("path", { class: "grid", d: scale.grid.map((share) => `M0 ${heightOf(share)}H${WIDTH}`).join("") }),
    ...lines.map(([, value], i) => drawn("path", { class: `line line-${i}`, d: path(points, value, scale, now, gaps) })));
  $(id).replaceChildren(caption, svg, element("small", { class: "scale" }, element("span", {}, "5 min ago"), element("span", {}, scale.words), element("span", {}, "now")));
}

let points = [];

export function addPoints(more) {
  points.push(...more);
  points = points.filter((p) => p.at > points.at(-1).at - SECONDS);
  for (const id of Object.keys(CHARTS)) draw(id, points);
}

for (const id of Object.keys(CHARTS)) draw(id, points);
