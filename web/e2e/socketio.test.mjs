// An unmodified socket.io-client against bellhop dev, in Node and in Chromium, as the applications that Bellhop replaces use it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { until } from "../testing/bellhop.mjs";
import { Talker, clients } from "./clients/index.mjs";
import { Bellhop, Windows, launch, message, say } from "./harness.mjs";

for (const functions of ["here", "process"]) describe(`socket.io-client, functions: ${functions}`, { timeout: 300_000 }, () => {
  const bellhop = new Bellhop();
  const sockets = [];
  before(async () => {
    const parameters = ["PresenceGrace=4s", "RateBurst=100", "SocketNamespaces=/chat", "SocketConnectTimeout=1s"];
    await bellhop.start(...(functions === "process" ? ["--functions", functions, "--dynamodb", "local"] : []), ...parameters.flatMap((one) => ["--parameter", one]));
  }, { timeout: 180_000 });
  after(async () => {
    for (const socket of sockets) socket.close();
    await bellhop.end();
  });

  const connect = async (user, { nsp = "", ...options } = {}) => {
    const socket = io(bellhop.url + nsp, { transports: ["websocket"], forceNew: true, auth: { token: bellhop.token(user) }, ...options });
    sockets.push(socket);
    socket.heard = [];
    socket.onAny((event, ...args) => socket.heard.push([event, ...args]));
    return socket;
  };
  const open = async (user, options) => {
    const socket = await connect(user, options);
    await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
    return socket;
  };
  const refused = async (socket) => (await once(socket, "connect_error"))[0];
  const hears = (socket, event, fits = () => true) =>
    until(() => socket.heard.find(([name, data, meta]) => name === event && fits(data, meta ?? {})), event);
  const ok = async (promise) => {
    const reply = await promise;
    assert.equal(reply.ok, true, JSON.stringify(reply));
    return reply.data;
  };
  const emit = async (command) => {
    return ok(bellhop.command(command));
  };

  test("handlers of one argument, as applications have them, know who speaks and which message it is", async () => {
    const page = async (user) => {
      const socket = await open(user, { path: "/api/socket", auth: { token: bellhop.token(user, { name: user.toUpperCase() }) } });
      const typing = new Map(), messages = [];
      socket.on("message:new", ({ id, content, userId, userName }) => messages.push(`${id}: ${userName} (${userId}) says ${content}`));
      socket.on("user:typing", ({ userId, userName }) => typing.set(userId, userName));
      socket.on("user:stopped-typing", ({ userId }) => typing.delete(userId));
      await socket.emitWithAck("join:channel", "usual");
      return { socket, typing, messages };
    };
    const [ana, bob] = [await page("ana"), await page("bob")];
    ana.socket.emit("typing:start", "usual");
    await until(() => bob.typing.get("ana") === "ANA", "typing");
    ana.socket.emit("typing:stop", "usual");
    await until(() => bob.typing.size === 0, "end of typing");
    ana.socket.emit("message:send", { channelId: "usual", content: "hi", id: "m1" });
    await until(() => bob.messages.length === 1, "message");
    assert.deepEqual(bob.messages, ["m1: ANA (ana) says hi"]);
  });

  test("connects at every path, and says who may not", async (t) => {
    for (const options of [{}, { path: "/dev" }, { path: "/dev", addTrailingSlash: false }]) {
      const socket = await open("ana", options);
      assert.ok(socket.id && socket.recovered === false);
      socket.close();
    }
    const token = bellhop.token("ana");
    assert.ok(await open("ana", { auth: {}, query: { token } }));
    assert.equal((await refused(await connect("ana", { auth: {} }))).data.code, "unauthenticated");
    assert.equal((await refused(await connect("ana", { auth: { token: "nonsense" } }))).data.code, "unauthenticated");
    assert.equal((await refused(await connect("ana", { nsp: "/nowhere" }))).message, "Invalid namespace");
    const sentence = /this server has no polling: give the client the option transports: \["websocket"\], or tryAllTransports: true/;
    const polling = await connect("ana", { transports: ["polling"], reconnection: false });
    const [words, answer] = await new Promise((resolve) => polling.on("connect_error", ({ message, context }) => resolve([message, context.responseText])));
    assert.equal(words, "xhr poll error");
    assert.match(JSON.parse(answer).message, sentence);
    const python = new Talker(await clients["python-socketio"](), bellhop, "ana", "polled", "polling", "websocket");
    t.after(python.kill);
    assert.equal(await python.exit, 1);
    assert.match(python.said.find(([event]) => event === "refused")[1].message, sentence);
    const crossed = await fetch(`${bellhop.url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: "https://app.example" } });
    assert.deepEqual([crossed.status, crossed.headers.get("Access-Control-Allow-Origin")], [400, "https://app.example"]);
    assert.match((await crossed.json()).message, sentence);
    assert.match(bellhop.output, /a client of Socket.IO is refused/);
    assert.ok(await open("ana", { transports: ["polling", "websocket"], tryAllTransports: true }));
  });

  test("the old events work with their old arguments", async () => {
    const [ana, bob] = [await open("ana"), await open("bob")];
    for (const socket of [ana, bob]) {
      await ok(socket.emitWithAck("join:channel", "old"));
      await ok(socket.emitWithAck("join:community", { communityId: 7 }));
    }
    await ok(ana.emitWithAck("message:send", { channelId: "old", content: "hi", id: "m1" }));
    const [, data, meta, offset] = await hears(bob, "message:new");
    assert.deepEqual(data, { content: "hi", id: "m1", userId: "ana", userName: "ana", channelId: "old" });
    assert.deepEqual([meta.room, meta.seq, meta.id, meta.from.userId], ["channel:old", 1, "m1", "ana"]);
    assert.equal(typeof offset, "string");
    ana.emit("typing:start", "old");
    await hears(bob, "user:typing", (_, { from }) => from.userId === "ana");
    ana.emit("typing:stop", { channelId: "old" });
    await hears(bob, "user:stopped-typing");
    assert.equal(ana.heard.some(([event]) => event === "user:typing"), false);
    await ok(ana.emitWithAck("presence:update", "busy"));
    await hears(bob, "presence:changed", ({ userId, status }) => userId === "ana" && status === "busy");
    await ok(ana.emitWithAck("message:delete", "old", "m1"));
    await hears(bob, "message:deleted", ({ messageId }) => messageId === "m1");
    await bellhop.emit("bob", "notification:new", { title: "Hello" });
    const [, , { id }] = await hears(bob, "notification:new");
    await ok(bob.emitWithAck("notification:read", id));
    await hears(bob, "notification:read", ({ notificationId }) => notificationId === id);
    ana.close();
    await hears(bob, "user:offline", ({ userId }) => userId === "ana");
  });

  test("refusals come in the ack, or as an event", async () => {
    const ana = await open("ana");
    const reply = await ana.emitWithAck("publish", { room: "channel:r", event: "message:new", data: 1 });
    assert.equal(reply.error.code, "not_in_room");
    ana.emit("join", { room: "a b" });
    const [, error, about] = await hears(ana, "refused");
    assert.deepEqual([error.code, about], ["bad_request", { event: "join" }]);
    assert.equal((await ana.emitWithAck("dance")).error.code, "unknown_action");
  });

  test("with retries messages keep their order", async () => {
    const [ana, bob] = [await open("ana", { retries: 3, ackTimeout: 5_000 }), await open("bob")];
    for (const socket of [ana, bob]) await ok(socket.emitWithAck("join:channel", "order"));
    for (let i = 0; i < 20; i++) ana.emit("message:send", { channelId: "order", content: i, id: `o${i}` });
    await hears(bob, "message:new", ({ content }) => content === 19);
    assert.deepEqual(bob.heard.filter(([event]) => event === "message:new").map(([, { content }]) => content), [...Array(20).keys()]);
  });

  test("a cut is recovered with what was missed, and shows to nobody", async () => {
    const [ana, bob] = [await open("ana"), await open("bob")];
    for (const socket of [ana, bob]) await ok(socket.emitWithAck("join", { room: "community:cut" }));
    const { id } = ana;
    await ok(bob.emitWithAck("publish", { room: "community:cut", event: "message:new", data: { content: "before" } }));
    await hears(ana, "message:new");
    bob.heard.length = 0;
    ana.io.engine.close();
    await ok(bob.emitWithAck("publish", { room: "community:cut", event: "message:new", data: { content: "missed" } }));
    await once(ana, "connect");
    assert.deepEqual([ana.recovered, ana.id], [true, id]);
    await hears(ana, "message:new", ({ content }) => content === "missed");
    assert.equal(ana.heard.filter(([event, data]) => event === "message:new" && data.content === "before").length, 1);
    await ok(bob.emitWithAck("publish", { room: "community:cut", event: "message:new", data: { content: "after" } }));
    await hears(ana, "message:new", ({ content }) => content === "after");
    assert.equal(bob.heard.some(([event]) => event === "user:online" || event === "user:offline"), false);
  });

  test("who is disconnected is told and stays away; who is cut by the server comes back", async () => {
    const ana = await open("ana-kicked");
    const ended = once(ana, "disconnect");
    await emit({ command: "disconnect", user: "ana-kicked", reason: "banned" });
    assert.equal((await ended)[0], "io server disconnect");
    await hears(ana, "session:ending", ({ reason }) => reason === "banned");
    assert.equal(ana.active, false);
    const bob = await open("bob-cut");
    await bellhop.cut("bob-cut");
    await once(bob, "connect");
  });

  test("programs ask and are answered", async () => {
    const ana = await open("ana-asked");
    // As handlers are written that have always talked to a server of Socket.IO.
    ana.on("sure?", ({ n }, answer) => answer({ yes: n + 1 }));
    ana.on("there?", (answer) => answer("yes", 2));
    const ask = async (event, more) => {
      const { answers, missing } = await emit({ command: "ask", users: ["ana-asked"], event, ...more });
      assert.deepEqual(missing, []);
      return answers.map(({ args }) => args);
    };
    assert.deepEqual(await ask("sure?", { data: { n: 1 } }), [[{ yes: 2 }]]);
    assert.deepEqual(await ask("there?"), [["yes", 2]]);
    ana.on("from?", (data, { from }, answer) => answer(data, from.userId)); // whom a program names comes as with other events
    assert.deepEqual(await ask("from?", { from: { userId: "bob" } }), [[null, "bob"]]);
  });

  test("namespaces, and what breaks the protocol", async () => {
    const ana = await open("ana");
    const chat = ana.io.socket("/chat", { auth: ana.auth }); // over the same connection
    sockets.push(chat);
    chat.heard = [];
    chat.onAny((event, ...args) => chat.heard.push([event, ...args]));
    await once(chat, "connect");
    await ok(ana.emitWithAck("join:channel", "nsp-main"));
    await ok(chat.emitWithAck("join:channel", "nsp"));
    await bellhop.publish("channel:nsp", { content: "in a namespace" });
    await bellhop.publish("channel:nsp-main", { content: "in none" });
    await hears(chat, "message:new");
    await hears(ana, "message:new");
    for (const [socket, room] of [[ana, "channel:nsp-main"], [chat, "channel:nsp"]]) {
      assert.deepEqual(socket.heard.filter(([event]) => event === "message:new").map(([, , meta]) => meta.room), [room]);
    }
    ana.io.engine.close();
    await Promise.all([once(ana, "connect"), once(chat, "connect")]);
    assert.deepEqual([ana.recovered, chat.recovered], [true, true]);
    await bellhop.publish("channel:nsp", { content: "after" });
    await hears(chat, "message:new", ({ content }) => content === "after");
    for (const frame of ["42[]", "nonsense", '42["join:channel","1"]', ""]) { // the last one only says nothing
      const raw = new (createRequire(import.meta.url)("ws").WebSocket)(`${bellhop.url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
      await once(raw, "message"); // the open packet
      if (frame) raw.send(frame);
      await once(raw, "close");
    }
  });

  test("a page of another origin that begins with polling reads why it may not, and so does its console", async (t) => {
    const browser = await launch();
    t.after(() => browser.close());
    const pages = createServer((request, response) => {
      if (request.url === "/socket.io.js") response.end(readFileSync(createRequire(import.meta.url).resolve("socket.io-client/dist/socket.io.js")));
      else response.setHeader("Content-Type", "text/html").end('<!doctype html><link rel="icon" href="data:,"><script src="/socket.io.js"></script>');
    });
    await once(pages.listen(0, "127.0.0.1"), "listening");
    t.after(() => pages.close());
    const url = `http://127.0.0.1:${pages.address().port}`;
    const windows = new Windows(t, browser, bellhop, { url });
    windows.tolerated = /no polling/;
    const page = await windows.page();
    const lines = [];
    page.on("console", (line) => lines.push(line.text()));
    await page.goto(url);
    for (const options of [{}, { withCredentials: true, extraHeaders: { "X-App": "1" } }]) {
      const [words, answer] = await page.evaluate(([to, more]) => new Promise((resolve) => {
        const socket = window.io(to, { reconnection: false, forceNew: true, ...more });
        socket.on("connect_error", (err) => resolve([err.message, err.context.responseText]));
      }), [bellhop.url, options]);
      assert.equal(words, "xhr poll error");
      assert.match(JSON.parse(answer).message, /this server has no polling: give the client the option transports: \["websocket"\]/);
    }
    const console = lines.filter((line) => /status of 400 \(this server has no polling: give the client the option transports: \["websocket"\]/.test(line));
    assert.deepEqual([console.length, lines.length], [2, 2], lines.join("\n"));
  });

  test("in a browser, beside a window that speaks bellhop.v1", async (t) => {
    const browser = await launch();
    t.after(() => browser.close());
    const windows = new Windows(t, browser, bellhop);
    const page = await windows.page();
    await page.route("**/socket.io.js", (route) => route.fulfill({
      contentType: "text/javascript", body: readFileSync(createRequire(import.meta.url).resolve("socket.io-client/dist/socket.io.js"), "utf8"),
    }));
    await page.route("**/console.js", (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
    await page.goto(`${bellhop.url}/_bellhop/`); // without its script it does nothing
    await page.evaluate(() => new Promise((resolve, reject) => {
      document.head.append(Object.assign(document.createElement("script"), { src: "/socket.io.js", onload: resolve, onerror: reject }));
    }));
    const token = bellhop.token("cyd");
    const joined = await page.evaluate(async (bearer) => {
      window.heard = [];
      window.sock = window.io({ transports: ["websocket"], auth: { token: bearer } });
      window.sock.onAny((event, data) => window.heard.push([event, data]));
      return window.sock.emitWithAck("join:channel", "page");
    }, token);
    assert.equal(joined.ok, true);
    const dan = await open("dan");
    await ok(dan.emitWithAck("join:channel", "page"));
    await page.evaluate(() => window.sock.emitWithAck("message:send", { channelId: "page", content: "from a browser" }));
    await hears(dan, "message:new", ({ content }) => content === "from a browser");
    await page.evaluate(() => new Promise((resolve) => {
      window.sock.on("connect", resolve);
      window.sock.io.engine.close();
    }));
    assert.equal(await page.evaluate(() => window.sock.recovered), true);
    await bellhop.publish("channel:page", { content: "to a browser" });
    await page.waitForFunction(() => window.heard.some(([event, data]) => event === "message:new" && data.content === "to a browser"));
  });

  for (const [name, prepare] of Object.entries(clients)) test(`${name} chats with a window that speaks bellhop.v1, and comes back when it is recalled`, async (t) => {
    const channel = name.replaceAll(/\W|_/g, "-").toLowerCase();
    const talker = new Talker(await prepare(), bellhop, "monty", channel);
    t.after(talker.kill);
    const browser = await launch();
    t.after(() => browser.close());
    const page = await new Windows(t, browser, bellhop).login({ user: "eve", channel });
    const count = (what) => talker.said.filter(([event, ok]) => event === what && ok !== false).length;
    const joins = async (before, within) => {
      await until(() => count("joined") > before, "answer to a join", within).catch((err) => assert.fail(`${err.message}: ${JSON.stringify(talker.said)}`));
      return count("joined");
    };
    const joined = await joins(0, 60_000); // while others use the machine, it may also have been cut off meanwhile, and have joined again
    await say(page, "hello there");
    await until(() => talker.said.some(([event, data, from]) => event === "message:new" && data.content === "hello there" && from === "eve"), "message", 30_000);
    if (name === "python-socketio") { // its handlers answer by what they return
      const { answers } = await emit({ command: "ask", users: ["monty"], event: "sure?", data: { n: 1 } });
      assert.deepEqual(answers.map(({ args }) => args), [[{ yes: 2 }]]);
    }
    talker.say("hello window");
    await message(page, "hello window").waitFor();
    await emit({ command: "disconnect", user: "monty", reason: "expired" });
    await joins(joined, 30_000); // without its notice Java hears nothing for seven minutes
    await say(page, "welcome back");
    await until(() => talker.said.some(([event, data]) => event === "message:new" && data.content === "welcome back"), "message after that", 30_000);
    assert.equal(await talker.end(), 0);
  });
});
