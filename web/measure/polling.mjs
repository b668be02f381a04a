// What a chat costs on the wire when it polls, and what it costs over Bellhop: measured, not estimated.
//
//     node web/measure/polling.mjs                              100 users, 1 minute, 1 message per user and minute
//     node web/measure/polling.mjs --users 50 --minutes 5
//     node web/measure/polling.mjs --changes 0.5                each user also changes the own status every 2 minutes
//     node web/measure/polling.mjs --bellhop ./bellhop          with a binary that is built already; BELLHOP works too
//
// It needs Go, to build `bellhop`, and the package ws, which `npm ci` in web/ installs. It takes twice the minutes and
// some seconds, stops by itself, and stops what it has started.
//
// Both sides get the same users, the same messages of 60 characters at the same random times, and the same token.
//
// - Polling: every user asks for chat messages every 3 s, for who is present every 5 s and for notifications every 30 s,
//   over a connection that stays open (HTTP/1.1), with the headers that Chrome sends. The server is in this file and
//   answers from memory: new messages since a cursor, everybody who is present, unread notifications.
// - Bellhop: every user holds one WebSocket to `bellhop dev`, and is in one channel, one community and the room of its own.
//   Clients ping every 4 minutes, as the page of `bellhop dev` does.
//
// Bytes are what went through the TCP sockets, counted by Node: HTTP requests and answers with their headers, the
// handshake, frames with theirs. TCP/IP and TLS are not in it on either side. Over HTTP/2 the headers of requests
// would be smaller, and the requests as many. Latency is from the moment a message is sent until another user has it; all
// runs on one machine, so that it shows waiting, not distance.
//
// Connecting and joining, which a Bellhop client does once and again after at most two hours, is a row of its own. It is
// large because everybody arrives at once, and everybody is told of everybody.

import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { WebSocket } from "ws";
import { Bellhop } from "../testing/bellhop.mjs";

const AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36";

const CHAT = 3_000;
const PRESENCE = 5_000;
const NOTIFICATIONS = 30_000;
const PING = 4 * 60_000;

const { values } = parseArgs({
  options: {
    users: { type: "string", default: "100" },
    minutes: { type: "string", default: "1" },
    changes: { type: "string", default: "0" },
    bellhop: { type: "string", default: process.env.BELLHOP ?? "" },
    help: { type: "boolean", default: false },
  },
});
const users = number("users", 2, 1_000);
const minutes = number("minutes", 0.1, 120);
const changes = number("changes", 0, 10);
if (values.help) {
  console.log("node polling.mjs [--users 100] [--minutes 1] [--changes 0] [--bellhop PATH]; the comment on top of the file says what it measures");
  process.exit();
}

const duration = minutes * 60_000;
const people = Array.from({ length: users }, (_, i) => ({ id: `u${i + 1}`, name: `User ${i + 1}` }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));
setTimeout(() => {
  console.error("polling.mjs: this took too long, and was ended");
  process.exit(1);
}, 2 * duration + 180_000).unref();

// The same plan for both sides: when each user sends what, and changes the status.
const plan = people.flatMap((user) => [
  ...times(1).map((at) => ({ at, user, content: randomBytes(45).toString("base64url") })),
  ...times(changes).map((at, i) => ({ at, user, status: i % 2 ? "online" : "away" })),
]);
const messages = plan.filter(({ content }) => content).length;
if (messages === 0) fail("nobody sends anything in so short a time: more --minutes, or more --users");

if (values.bellhop) process.env.BELLHOP = values.bellhop;
const bellhop = await new Bellhop(["--memory"]).start();
const tokens = new Map(people.map(({ id, name }) => [id, bellhop.token(id, { name })]));

console.log(`${users} users for ${minutes} min: ${messages} messages, ${plan.length - messages} changes of status`);
const polling = await measurePolling();
const { connecting, open } = await measureBellhop();
await bellhop.end();

const per = users * minutes;
const all = add(open, connecting);
row("per user and minute", "requests or frames", "bytes up", "bytes down", "bytes", "median latency", "95 %");
row("polling", (polling.count / per).toFixed(1), ...moved(polling, per), ...latency(polling.delays));
row("bellhop, once connected", frames(open, per), ...moved(open, per), ...latency(open.delays));
row("bellhop, with connecting", frames(all, per), ...moved(all, per));
row("(connecting, a user, once)", frames(connecting, users), ...moved(connecting, users));
const ratio = (side) => ((polling.up + polling.down) / (side.up + side.down)).toFixed(1);
console.log(`\npolling moves ${ratio(open)} times the bytes of open connections, ${ratio(all)} times with connecting; ` +
  `clients send ${((100 * open.sent) / polling.count).toFixed(1)} % as often`);
const wanted = messages * (users - 1);
for (const [side, { delays }] of Object.entries({ polling, bellhop: open })) {
  console.log(`${side}: ${delays.length} of ${wanted} messages were seen`);
  if (delays.length !== wanted) process.exitCode = 1;
}

// ------------------------------------------------------------------------------------------------------- polling

async function measurePolling() {
  const log = []; // every message, in order: the cursor is an index
  const status = new Map(people.map(({ id, name }) => [id, { userId: id, userName: name, status: "online", lastSeen: new Date().toISOString() }]));
  const sentAt = new Map();
  const delays = [];
  const sockets = new Set();
  const all = { count: 0 };

  const server = http.createServer(async (request, response) => {
    all.count++;
    const { pathname, searchParams } = new URL(request.url, "http://local");
    const body = request.method === "POST" ? JSON.parse(Buffer.concat(await request.toArray()).toString()) : undefined;
    const user = userOf(request);
    let answer = {};
    if (pathname === "/api/messages" && body) {
      answer = { id: body.id, channelId: "42", userId: user, userName: status.get(user).userName, content: body.content, createdAt: new Date().toISOString() };
      log.push(answer);
    } else if (pathname === "/api/messages") {
      const after = Number(searchParams.get("after"));
      answer = { messages: log.slice(after), cursor: log.length };
    } else if (pathname === "/api/presence" && body) {
      status.get(user).status = body.status;
    } else if (pathname === "/api/presence") {
      answer = { presence: [...status.values()] };
    } else {
      answer = { notifications: [] };
    }
    const text = JSON.stringify(answer);
    response.writeHead(200, { "Content-Type": "application/json; charset=utf-8", "Content-Length": Buffer.byteLength(text), "Cache-Control": "no-store" });
    response.end(text);
  });
  server.keepAliveTimeout = 120_000;
  server.on("connection", (socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();

  const agents = new Map(people.map(({ id }) => [id, new http.Agent({ keepAlive: true })]));
  const ask = (user, method, path, body) =>
    new Promise((resolve, reject) => {
      const text = body && JSON.stringify(body);
      const request = http.request({ host: "127.0.0.1", port, path, method, agent: agents.get(user.id), headers: headers(user, port, text) }, async (response) => {
        resolve(JSON.parse(Buffer.concat(await response.toArray()).toString()));
      });
      request.on("error", reject);
      request.end(text);
    });

  const timers = [];
  const every = (interval, work) => {
    const phase = setTimeout(() => {
      work();
      timers.push(setInterval(work, interval));
    }, Math.random() * interval);
    timers.push(phase);
  };
  const begin = performance.now();
  for (const user of people) {
    let cursor = 0;
    every(CHAT, async () => {
      const got = await ask(user, "GET", `/api/messages?channelId=42&after=${cursor}`);
      const now = performance.now();
      cursor = Math.max(cursor, got.cursor);
      for (const m of got.messages) if (m.userId !== user.id) delays.push(now - sentAt.get(m.id));
    });
    every(PRESENCE, () => ask(user, "GET", "/api/presence?communityId=7"));
    every(NOTIFICATIONS, () => ask(user, "GET", "/api/notifications?unread=1"));
  }
  for (const { at, user, content, status } of plan) {
    timers.push(setTimeout(() => {
      if (status) return ask(user, "POST", "/api/presence", { communityId: "7", status });
      const id = randomUUID();
      sentAt.set(id, performance.now());
      return ask(user, "POST", "/api/messages", { id, channelId: "42", content });
    }, at));
  }
  await pause(begin + duration - performance.now());
  for (const socket of sockets) {
    all.up = (all.up ?? 0) + socket.bytesRead;
    all.down = (all.down ?? 0) + socket.bytesWritten;
  }
  const result = { ...all, delays };
  await pause(CHAT + 500); // so that what was sent last is seen too
  timers.forEach(clearInterval);
  await pause(200);
  agents.forEach((agent) => agent.destroy());
  server.close();
  server.closeAllConnections();
  return result;
}

// What Chrome sends with a fetch to the page's own site; the session is a cookie with the token.
function headers(user, port, text) {
  return {
    Host: `127.0.0.1:${port}`,
    Connection: "keep-alive",
    "User-Agent": AGENT,
    Accept: "*/*",
    ...(text && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text), Origin: `http://127.0.0.1:${port}` }),
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    Referer: `http://127.0.0.1:${port}/channels/42`,
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-GB,en;q=0.9",
    Cookie: `session=${tokens.get(user.id)}`,
  };
}

function userOf(request) {
  const [, payload] = request.headers.cookie.slice("session=".length).split(".");
  return JSON.parse(Buffer.from(payload, "base64url").toString()).sub;
}

// ------------------------------------------------------------------------------------------------------- bellhop

async function measureBellhop() {
  const sentAt = new Map();
  const delays = [];
  const count = { sent: 0, received: 0 };
  const sockets = [];
  const clients = [];
  const total = () => ({
    ...count,
    up: sockets.reduce((sum, s) => sum + s.bytesWritten, 0),
    down: sockets.reduce((sum, s) => sum + s.bytesRead, 0),
  });

  const connect = async (user) => {
    const ws = new WebSocket(bellhop.ws, ["bellhop.v1", `bearer.${tokens.get(user.id)}`], {
      perMessageDeflate: false, // API Gateway has none
      headers: { "User-Agent": AGENT, Origin: bellhop.http, "Accept-Encoding": "gzip, deflate, br, zstd", "Accept-Language": "en-GB,en;q=0.9", "Cache-Control": "no-cache", Pragma: "no-cache" },
      createConnection: ({ host, port }) => {
        const socket = net.connect({ host, port });
        sockets.push(socket);
        return socket;
      },
    });
    const replies = new Map();
    const see = (frame) => {
      if (frame.batch) return frame.batch.forEach(see);
      if ("reply" in frame) return replies.get(frame.reply)?.(frame);
      if (frame.event === "message:new" && frame.from.userId !== user.id && sentAt.has(frame.id)) delays.push(performance.now() - sentAt.get(frame.id));
    };
    ws.on("message", (data) => {
      count.received++;
      if (data.length) see(JSON.parse(data));
    });
    ws.on("ping", () => count.received++ && count.sent++); // ws answers by itself
    ws.on("error", (err) => fail(`${user.id}: ${err.message}`));
    await once(ws, "open");
    const send = (action) => {
      count.sent++;
      ws.send(JSON.stringify(action));
    };
    const request = (action) =>
      new Promise((resolve) => {
        replies.set(action.id, ({ ok, error }) => {
          replies.delete(action.id);
          if (!ok) fail(`${user.id}: ${action.action}: ${error.code}: ${error.message}`);
          resolve();
        });
        send(action);
      });
    await Promise.all([
      request({ action: "join", id: "j1", room: "channel:42" }),
      request({ action: "join", id: "j2", room: "community:7" }),
    ]);
    return { user, ws, send, request };
  };

  for (let i = 0; i < users; i += 10) clients.push(...(await Promise.all(people.slice(i, i + 10).map(connect))));
  await pause(1_000); // the last arrivals are told
  const before = total();

  const timers = [];
  const begin = performance.now();
  for (const { user, send, request } of clients) {
    const first = Math.random() * PING; // a run that is shorter than the interval has its share of them
    for (let at = first; at < duration; at += PING) timers.push(setTimeout(send, at, { action: "ping" }));
    for (const { at, content, status } of plan.filter((p) => p.user === user)) {
      timers.push(setTimeout(() => {
        if (status) return request({ action: "presence", id: randomUUID(), room: "community:7", status });
        const id = randomUUID();
        sentAt.set(id, performance.now());
        return request({ action: "publish", id, room: "channel:42", event: "message:new", data: { content } });
      }, at));
    }
  }
  await pause(begin + duration - performance.now());
  await pause(500); // what was sent last is seen
  const after = total();
  timers.forEach(clearTimeout);
  for (const { ws } of clients) ws.terminate();
  const minus = (a, b) => Object.fromEntries(Object.keys(a).map((key) => [key, a[key] - b[key]]));
  return { connecting: before, open: { ...minus(after, before), delays } };
}

// --------------------------------------------------------------------------------------------------------- small

// `times` gives random moments of the run, as many as a rate of so many a minute makes on average, and exactly that
// where it is a whole number.
function times(rate) {
  const n = rate * minutes;
  const many = Math.floor(n) + (Math.random() < n % 1 ? 1 : 0);
  return Array.from({ length: many }, () => Math.random() * duration).sort((a, b) => a - b);
}

function number(name, least, most) {
  const value = Number(values[name]);
  if (!(value >= least && value <= most)) fail(`--${name} must be a number from ${least} to ${most}`);
  return value;
}

function add(a, b) {
  return Object.fromEntries(Object.keys(b).map((key) => [key, a[key] + b[key]]));
}

function frames({ sent, received }, by) {
  return `${(sent / by).toFixed(1)} up, ${(received / by).toFixed(1)} down`;
}

function moved({ up, down }, by) {
  return [up, down, up + down].map((n) => Math.round(n / by).toLocaleString("en"));
}

function latency(delays) {
  const sorted = [...delays].sort((a, b) => a - b);
  return [0.5, 0.95].map((part) => `${(sorted[Math.floor(sorted.length * part)] ?? NaN).toFixed(1)} ms`);
}

function row(name, ...cells) {
  console.log([name.padEnd(27), ...cells.map((cell, i) => cell.padStart(i === 0 ? 22 : 14))].join(" "));
}

function fail(message) {
  console.error(`polling.mjs: ${message}`);
  process.exit(1);
}
