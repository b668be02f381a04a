import { io, type Socket } from "socket.io-client";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { connect, type Client, type ConnectOptions } from "../../src/index.js";
import { socketIO } from "../../src/socketio.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";

let bellhop: Bellhop;
const clients: Client[] = [];
const sockets: Socket[] = [];
beforeAll(async () => void (bellhop = await startBellhop("--parameter", "PresenceGrace=1s")));
afterAll(() => bellhop.end());
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  for (const socket of sockets.splice(0)) socket.disconnect();
});

/** A socket as an application makes it, to /socket.io/. */
function socketOf(options: object = {}, namespace = ""): Socket {
  const socket = io(bellhop.http + namespace, { transports: ["websocket"], forceNew: true, reconnectionDelay: 50, ...options });
  sockets.push(socket);
  return socket;
}

function over(socket: Socket, user: string, options: Partial<ConnectOptions> = {}): Client {
  const client = connect(bellhop.http, { token: () => bellhop.token(user), transport: socketIO(() => socket), maxDelay: 200, ...options });
  clients.push(client);
  return client;
}

test("a socket that begins with polling says what the server has answered", async () => {
  const client = over(socketOf({ transports: ["polling"] }), "ana");
  await until(() => client.error);
  expect(client.error!.message).toMatch(/^The connection was refused or cut: xhr poll error: this server has no polling: give the client the option transports: \["websocket"\]/);
});

test("a socket that the application has already is used, beside the application, and given back", async () => {
  const auth = { token: bellhop.token("ana") };
  const socket = socketOf({ auth });
  await until(() => socket.connected);
  const client = over(socket, "ana");
  const room = client.join("channel:shared");
  await until(() => room.joined);
  const heard: unknown[] = [];
  socket.on("message:new", (data, meta) => heard.push([data, meta.room]));
  await room.publish("message:new", { content: "hi" });
  await until(() => heard.length === 1);
  expect(heard).toMatchObject([[{ content: "hi", channelId: "shared" }, "channel:shared"]]);
  expect(client.userId).toBe("ana");
  client.close();
  expect(socket.auth).toBe(auth);
  expect(socket.listeners("connect").length + socket.listeners("disconnect").length + socket.listenersAny().length).toBe(0);
  expect(socket.connected).toBe(false);
  socket.connect();
  await until(() => socket.connected);
});

test("the options of the socket for acks and retries change nothing", async () => {
  for (const options of [{ retries: 2 }, { ackTimeout: 2_000 }, { retries: 2, ackTimeout: 2_000 }]) {
    const room = over(socketOf(options), "ana").join("channel:options");
    expect(await room.publish("message:new", { content: "hi" })).toMatchObject({ room: "channel:options" });
    await expect(room.publish("user:online", {} as never)).rejects.toMatchObject({ code: "forbidden", retry: false });
  }
});

test("a namespace that there is not ends the client, with the reason", async () => {
  const client = over(socketOf({}, "/nowhere"), "ana");
  await until(() => client.status === "closed");
  expect(client.error).toMatchObject({ code: "forbidden", message: "Invalid namespace", retry: false });
});

test("a bad token is tried again, with pauses, until there is a better one", async () => {
  let asked = 0;
  const client = over(socketOf(), "ana", { token: () => (++asked < 3 ? "nonsense" : bellhop.token("ana")) });
  const errors: string[] = [];
  client.on("error", ({ code }) => errors.push(code));
  await until(() => client.status === "open");
  expect(errors).toEqual(["unauthenticated", "unauthenticated"]);
});

test("a room that is left while there is no connection is not entered again", async () => {
  const watcher = over(socketOf(), "watcher").join("community:left");
  const socket = socketOf();
  const client = over(socket, "bob");
  const [room, other] = [client.join("community:left"), client.join("channel:other")];
  await until(() => room.joined && other.joined && watcher.present.has("bob"));
  socket.io.engine.close();
  room.leave();
  await until(() => client.status === "open" && other.joined);
  expect(socket.recovered).toBe(false);
  await until(() => !watcher.present.has("bob"));
  expect((await bellhop.connections("bob")).map(({ rooms }) => rooms.toSorted())).toEqual([["channel:other", "user:bob"]]);
});

test("reconnect ends the pause of the socket", async () => {
  const socket = socketOf({ reconnectionDelay: 3_600_000, reconnectionDelayMax: 3_600_000 });
  const client = over(socket, "ana");
  await until(() => client.status === "open");
  socket.io.engine.close();
  await until(() => client.status === "connecting");
  client.reconnect();
  await until(() => client.status === "open");
});
