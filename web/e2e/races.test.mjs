// A page that mounts a component anew leaves a room and joins it at once, without waiting. Whichever of the two is done first: the
// server's row, the room's members and presence say the same afterwards, and nobody stays present who is gone. By plain frames, by
// @bellhop/client, and by a socket.io-client that nobody here wrote; with the functions here, and as they are deployed.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { build } from "vite";
import { WebSocket } from "ws";
import { Bellhop, until } from "../testing/bellhop.mjs";

const dir = mkdtempSync(join(tmpdir(), "bellhop-races-"));
before(() => build({
  root: join(import.meta.dirname, "../client"), configFile: false, logLevel: "error",
  build: { outDir: dir, emptyOutDir: false, lib: { entry: "src/index.ts", formats: ["es"], fileName: "client" } },
}));
after(() => rmSync(dir, { recursive: true, force: true }));

/** Each gives what leaves and joins a room at once, and what leaves it. */
const clients = {
  async frames(bellhop, user) {
    const socket = new WebSocket(bellhop.ws, ["bellhop.v1", `bearer.${bellhop.token(user)}`]);
    const waiting = new Map();
    socket.on("message", (text) => {
      const { reply, ...answer } = JSON.parse(text);
      waiting.get(reply)?.(answer);
    });
    await once(socket, "open");
    const ask = async (action, room) => {
      const id = `r${waiting.size}`;
      const answer = await new Promise((resolve) => {
        waiting.set(id, resolve);
        socket.send(JSON.stringify({ action, room, id }));
      });
      assert.equal(answer.ok, true, JSON.stringify(answer));
    };
    return {
      enter: (room) => ask("join", room),
      again: (room) => Promise.all([ask("leave", room), ask("join", room)]),
      exit: (room) => ask("leave", room),
      close: () => socket.close(),
    };
  },
  async "@bellhop/client"(bellhop, user) {
    const { connect } = await import(join(dir, "client.js"));
    const client = connect(bellhop.ws, { WebSocket, token: () => bellhop.token(user) });
    const rooms = new Map();
    const enter = async (room) => {
      rooms.set(room, client.join(room));
      await new Promise((resolve) => rooms.get(room).onJoined(resolve));
    };
    return {
      enter,
      again: async (room) => {
        void rooms.get(room).leave();
        await enter(room);
      },
      exit: (room) => rooms.get(room).leave(),
      close: () => client.close(),
    };
  },
  async "socket.io-client"(bellhop, user) {
    const socket = io(bellhop.http, { transports: ["websocket"], forceNew: true, auth: { token: bellhop.token(user) } });
    await once(socket, "connect");
    const ask = async (event, room) => {
      const reply = await socket.emitWithAck(event, room.slice("community:".length));
      assert.equal(reply.ok, true, JSON.stringify(reply));
    };
    return {
      enter: (room) => ask("join:community", room),
      again: (room) => Promise.all([ask("leave:community", room), ask("join:community", room)]),
      exit: (room) => ask("leave:community", room),
      close: () => socket.close(),
    };
  },
};

for (const [functions, rounds] of [["here", 200], ["process", 50]]) describe(`leave and join at once, functions: ${functions}`, { timeout: 400_000 }, () => {
  const bellhop = new Bellhop();
  before(async () => {
    const parameters = ["PresenceGrace=300ms", "RateLimit=100000", "RateBurst=100000"].flatMap((one) => ["--parameter", one]);
    await bellhop.start(...(functions === "process" ? ["--functions", functions, "--dynamodb", "local"] : ["--memory"]), ...parameters);
  }, { timeout: 180_000 });
  after(() => bellhop.end());

  const listed = async (command, room, key) => (await bellhop.command({ command, room })).data[key];

  for (const [name, open] of Object.entries(clients)) test(`${rounds} times, by ${name}`, async () => {
    const user = name.replace(/\W/g, "");
    const client = await open(bellhop, user);
    const rooms = Array.from({ length: rounds }, (_, n) => `community:${user}-${n}`);
    const wrong = [];
    for (const room of rooms) {
      await client.enter(room);
      await client.again(room);
      const [[row], members] = await Promise.all([bellhop.connections(user), listed("members", room, "members")]);
      if (!row.rooms.includes(room) || members.length !== 1) wrong.push(`${room}: row ${row.rooms.includes(room)}, members ${members.length}`);
      await client.exit(room);
    }
    assert.deepEqual(wrong, []);
    await client.close();
    await until(async () => (await bellhop.connections(user)).length === 0, "closed connection");
    const left = async () => {
      const found = [];
      for (const room of rooms) {
        for (const [command, key] of [["members", "members"], ["presence", "presence"]]) if ((await listed(command, room, key)).length) found.push(`${room}: ${key}`);
      }
      return found;
    };
    await until(async () => (await left()).length === 0, "end of every membership and presence", 15_000);
  });
});
