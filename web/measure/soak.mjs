// Clients that talk while their connections are cut at random: is everything seen once, and in order, by all?
//
//     node web/measure/soak.mjs                               50 clients, 5 minutes
//     node web/measure/soak.mjs --clients 20 --minutes 1 --cut 5
//     node web/measure/soak.mjs --bellhop ./bellhop           with a binary that is built already; BELLHOP works too
//
// All clients are those of @bellhop/client, in one channel of one `bellhop dev`. Each publishes every few seconds. Its
// connection is cut about every --cut seconds: by the network without a word, by the network for some seconds, or by the
// server. At the end everybody reconnects, and what each one heard is compared with what was acknowledged. It needs Go and
// what `npm ci` in web/ installs. It stops by itself, with exit code 1 if anything was lost, doubled or out of order.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "vite";
import { WebSocket } from "ws";
import { Bellhop } from "../testing/bellhop.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "50" },
    minutes: { type: "string", default: "5" },
    cut: { type: "string", default: "20" },
    every: { type: "string", default: "2" },
    bellhop: { type: "string", default: process.env.BELLHOP ?? "" },
  },
});
const clients = Number(values.clients), until = Number(values.minutes) * 60_000, cut = Number(values.cut) * 1_000, every = Number(values.every) * 1_000;
if (![clients, until, cut, every].every((n) => n > 0) || clients > 500 || until > 3_600_000) {
  console.error("--clients 1 to 500, --minutes up to 60, --cut and --every in seconds");
  process.exit(2);
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "bellhop-soak-"));
if (values.bellhop) process.env.BELLHOP = values.bellhop;
await build({
  root: join(root, "web/client"), configFile: false, logLevel: "error",
  build: { outDir: dir, emptyOutDir: false, lib: { entry: "src/index.ts", formats: ["es"], fileName: "client" } },
});
const { connect } = await import(join(dir, "client.js"));

const bellhop = await new Bellhop(["--memory"]).start();
process.on("exit", () => rmSync(dir, { recursive: true, force: true }));

/** One client, whose network can be taken away, and what it heard. */
class Talker {
  heard = [];
  recovered = 0;
  reloads = 0;
  cuts = 0;
  #sockets = new Set();
  #down = false;

  constructor(n) {
    this.name = `user${n}`;
    const talker = this;
    class Cuttable extends WebSocket {
      constructor(...args) {
        super(...args);
        talker.#sockets.add(this);
        this.once("close", () => talker.#sockets.delete(this));
        if (talker.#down) queueMicrotask(() => this.terminate());
      }
    }
    this.client = connect(bellhop.ws, { WebSocket: Cuttable, maxDelay: 3_000, token: () => bellhop.token(this.name) });
    this.room = this.client.join("channel:soak");
    this.room.on("message:new", (event) => this.heard.push(event));
    this.room.onJoined(({ recovered, first }) => first || (recovered ? this.recovered++ : this.reloads++));
  }

  async cut(kind) {
    this.cuts++;
    if (kind < 0.3) {
      await bellhop.cut(this.name);
      return;
    }
    this.#down = kind > 0.6;
    for (const socket of this.#sockets) socket.terminate();
    if (this.#down) await pause(Math.random() * 8_000);
    this.#down = false;
  }
}

const talkers = Array.from({ length: clients }, (_, n) => new Talker(n));
while (!talkers.every(({ room }) => room.joined)) await pause(20);
const acknowledged = new Map(); // id → seq
const failed = [];
const began = Date.now();
const over = () => Date.now() - began > until;

await Promise.all(talkers.flatMap((talker) => [
  (async () => {
    const sent = [];
    for (let n = 0; await pause(every * (0.5 + Math.random())), !over(); n++) {
      const id = `${talker.name}-${n}`;
      sent.push(talker.room.publish("message:new", { content: `message ${n} of ${talker.name}` }, { id }).then(
        ({ seq }) => acknowledged.set(id, seq), (err) => failed.push(`${id}: ${err.message}`)));
    }
    await Promise.all(sent);
  })(),
  (async () => {
    while (await pause(cut * (0.5 + Math.random())), !over()) await talker.cut(Math.random());
  })(),
]));
const newest = Math.max(...acknowledged.values());
for (const end = Date.now() + 60_000; Date.now() < end && !talkers.every(({ room }) => room.joined && room.position.seq >= newest); ) await pause(50);

let lost = 0, doubled = 0, disordered = 0;
for (const { heard } of talkers) {
  const times = new Map();
  for (const { id } of heard) times.set(id, (times.get(id) ?? 0) + 1);
  for (const id of acknowledged.keys()) lost += times.has(id) ? 0 : 1;
  for (const n of times.values()) doubled += n - 1;
  heard.forEach(({ seq }, i) => (disordered += i > 0 && seq <= heard[i - 1].seq ? 1 : 0));
  const own = new Map();
  for (const { from, id } of heard) {
    const n = Number(id.split("-")[1]);
    disordered += n < (own.get(from.userId) ?? 0) ? 1 : 0;
    own.set(from.userId, n);
  }
}
const sum = (pick) => talkers.reduce((total, talker) => total + pick(talker), 0);
console.log(`${clients} clients for ${((Date.now() - began) / 60_000).toFixed(1)} minutes: ${acknowledged.size} messages acknowledged, ${failed.length} failed, ${sum((t) => t.heard.length)} heard.`);
console.log(`${sum((t) => t.cuts)} cuts: ${sum((t) => t.recovered)} times recovered, ${sum((t) => t.reloads)} times not.`);
console.log(`${lost} lost, ${doubled} doubled, ${disordered} out of order.`);
for (const line of failed.slice(0, 5)) console.log(line);
for (const { client } of talkers) client.close();
await bellhop.end();
process.exit(lost + doubled + disordered + failed.length > 0 ? 1 : 0);
