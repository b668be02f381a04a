// Clients that talk while their connections are cut at random: is everything seen once, and in order, by all?
//
//     node web/measure/soak.mjs                               50 clients, 5 minutes
//     node web/measure/soak.mjs --clients 20 --minutes 1 --cut 5
//     node web/measure/soak.mjs --bellhop ./bellhop           with a binary that is built already; BELLHOP works too
//
// All clients are those of @bellhop/client, every third over a socket of socket.io-client, in one channel and one community
// of one `bellhop dev`; --store dynamodb has its table in DynamoDB Local. Each publishes every few seconds, and has a path
// of its own to the server. About every --cut seconds that path is reset, goes silent without a word, closes one of its
// directions or is away for some seconds, or the server closes the connection. At the end everybody reconnects; what each one
// heard is compared with what was acknowledged, and who is present with who is there, before and after half of them leave. It
// needs Go and what `npm ci` in web/ installs. It stops by itself, with exit code 1 if anything was lost, doubled, out of order,
// or present and not there.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "vite";
import { NodeWebSocket, io } from "socket.io-client";
import { WebSocket } from "ws";
import { Bellhop } from "../testing/bellhop.mjs";
import { Proxy } from "../testing/proxy.mjs";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "50" },
    minutes: { type: "string", default: "5" },
    cut: { type: "string", default: "20" },
    every: { type: "string", default: "2" },
    store: { type: "string", default: "memory" },
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
  build: { outDir: dir, emptyOutDir: false, lib: { entry: { client: "src/index.ts", socketio: "src/socketio.ts" }, formats: ["es"] } },
});
const { connect } = await import(join(dir, "client.js"));
const { socketIO } = await import(join(dir, "socketio.js"));

// Presence is told at once in rooms of every size, so that who is present can be compared at any moment.
const kinds = { user: { owner: true, keep: "720h" }, channel: { keep: "24h" }, community: { presence: true, keep: "1h", lazy: "0s" } };
const store = values.store === "dynamodb" ? ["--dynamodb", "local"] : ["--memory"];
const bellhop = await new Bellhop([...store, "--parameter", `RoomKinds=${JSON.stringify(kinds)}`]).start();
process.on("exit", () => rmSync(dir, { recursive: true, force: true }));

/** The transport of socket.io-client, to a stage. */
const overSocketIO = (url, ...rest) => socketIO(() => {
  const { origin, pathname } = new URL(url.replace("ws", "http"));
  return io(origin, { path: pathname, addTrailingSlash: false, transports: [NodeWebSocket], forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 3_000 });
})(url, ...rest);

/** One client, the path that it has to the server, and what it heard. */
class Talker {
  heard = [];
  recovered = 0;
  reloads = 0;
  faults = 0;

  static async begin(n) {
    const talker = new Talker();
    talker.name = `user${n}`;
    talker.proxy = await Proxy.to(bellhop.http);
    talker.client = connect(talker.proxy.ws, {
      WebSocket, maxDelay: 3_000, token: () => bellhop.token(talker.name), ...(n % 3 === 0 && { transport: overSocketIO }),
    });
    talker.town = talker.client.join("community:soak");
    talker.room = talker.client.join("channel:soak");
    talker.room.on("message:new", (event) => talker.heard.push(event));
    talker.room.onJoined(({ recovered, first }) => first || (recovered ? talker.recovered++ : talker.reloads++));
    return talker;
  }

  async fault() {
    this.faults++;
    const faults = [
      () => bellhop.cut(this.name), () => this.proxy.reset(), () => this.proxy.silence(), () => this.proxy.halfClose(),
      async () => {
        this.proxy.silent = true;
        this.proxy.silence();
        await pause(Math.random() * 8_000);
        this.proxy.silent = false;
        this.proxy.reset(); // what was begun meanwhile
      },
    ];
    await faults[Math.floor(Math.random() * faults.length)]();
  }
}

const talkers = await Promise.all(Array.from({ length: clients }, (_, n) => Talker.begin(n)));
while (!talkers.every(({ room, town }) => room.joined && town.joined)) await pause(20);
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
    while (await pause(cut * (0.5 + Math.random())), !over()) await talker.fault();
  })(),
]));
const newest = Math.max(...acknowledged.values());
for (const end = Date.now() + 90_000; Date.now() < end && !talkers.every(({ room, town }) => room.joined && town.joined && room.position.seq >= newest); ) await pause(50);

/** Compares who is present, by the server and by each client, with who is there: the differences after the grace. */
async function absent(there) {
  const names = there.map(({ name }) => name).sort().join();
  let wrong;
  for (const end = Date.now() + 60_000; ; await pause(200)) {
    const { data } = await bellhop.command({ command: "presence", room: "community:soak" });
    const seen = [data.presence.map(({ userId }) => userId), ...there.map(({ town }) => [...town.present.keys()])];
    wrong = seen.filter((users) => users.sort().join() !== names).length;
    if (wrong === 0 || Date.now() > end) return wrong;
  }
}
for (const { proxy } of talkers) proxy.forget(); // a server keeps what went silent for ten minutes
let wrong = await absent(talkers);

let lost = 0, doubled = 0, disordered = 0;
for (const { heard } of talkers) {
  const times = new Map();
  for (const { id } of heard) times.set(id, (times.get(id) ?? 0) + 1);
  for (const id of acknowledged.keys()) lost += times.has(id) ? 0 : 1;
  for (const n of times.values()) doubled += n - 1;
  heard.forEach(({ seq }, i) => (disordered += i > 0 && seq <= heard[i - 1].seq ? 1 : 0));
  const own = new Map();
  for (const { from, id } of heard) {
    if (!acknowledged.has(id)) continue; // it has failed, since it is not known whether, or when, it is done
    const n = Number(id.split("-")[1]);
    disordered += n < (own.get(from.userId) ?? 0) ? 1 : 0;
    own.set(from.userId, n);
  }
}
const sum = (pick) => talkers.reduce((total, talker) => total + pick(talker), 0);
console.log(`${clients} clients for ${((Date.now() - began) / 60_000).toFixed(1)} minutes: ${acknowledged.size} messages acknowledged, ${failed.length} failed, ${sum((t) => t.heard.length)} heard.`);
console.log(`${sum((t) => t.faults)} faults of the network, ${sum((t) => t.proxy.count)} connections: ${sum((t) => t.recovered)} times recovered, ${sum((t) => t.reloads)} times not.`);
for (const { client } of talkers.splice(clients / 2)) client.close();
wrong += await absent(talkers);
console.log(`${lost} lost, ${doubled} doubled, ${disordered} out of order, ${wrong} wrong lists of who is present.`);
for (const line of failed.slice(0, 5)) console.log(line);
for (const { client } of talkers) client.close();
await bellhop.end();
process.exit(lost + doubled + disordered + wrong + failed.length > 0 ? 1 : 0);
