import { connect } from "../client.js";
import type { Client } from "../api.js";
import { createEmitter, type Emitter } from "../server/emitter.js";
import type { Grant } from "../server/tokens.js";
import type { Outcome, Transport } from "../server/transport.js";
import type { ConnectOptions } from "../transport.js";
import type { ErrorCode, LoggedEvent, Occupant } from "../types.js";
import { act, type Frame } from "./actions.js";
import { Clock, milliseconds, settle, type Duration } from "./clock.js";
import { command } from "./commands.js";
import { Connection, Socket, type Gateway, type Identity } from "./connection.js";
import { Room, type KindOptions } from "./room.js";
import { Refused, type HookAnswer, type Question, type World } from "./world.js";

/** How a {@link TestServer} is. */
export interface TestServerOptions {
  /** As the parameter RoomKinds has them; `keep` may be "24h". Those of a new stack. */
  kinds?: Record<string, { owner?: boolean; presence?: boolean; keep: Duration }>;
  /** What the application's hook answers, as docs/HOOKS.md describes it. Nobody is asked. */
  hook?: (question: Question) => HookAnswer | void | Promise<HookAnswer | void>;
  /** What a token allows that says nothing of it. Everything. */
  grants?: Record<string, readonly Grant[]>;
  /** How long a user who was cut off stays present. 10s. */
  grace?: Duration;
  /** Where the clock begins. Now. */
  now?: number;
}

/** Something that goes wrong, once or more often. */
export interface Fault {
  /** Of these actions only, such as "publish". All. */
  action?: string;
  /** Of this user's only. */
  user?: string;
  /** It is refused with this code, and not done. */
  code?: ErrorCode;
  retryAfterMs?: number;
  /** The frame never arrives; or it is done, and its answer never comes. */
  lost?: "frame" | "answer";
  /** How often. 1. */
  times?: number;
}

const KINDS = { user: { owner: true, keep: "720h" }, channel: { keep: "24h" }, community: { presence: true, keep: "1h" } };
const EVERYTHING: Record<string, readonly Grant[]> = { "*": ["join", "publish", "moderate"] };
const LONGEST = milliseconds("2h");

/**
 * A server in the memory of a test, for clients and programs that are real. It keeps to the protocol, and has a clock of its
 * own, which stands still but for `later`: no test waits. What it does not have is what takes machines to have: shards, limits
 * of rate and size, Socket.IO, facts on a bus. The same tests run on `bellhop dev`.
 *
 *     const server = new TestServer();
 *     const ana = server.connect("ana");
 *     await ana.join("channel:42").ready();
 *     server.cut("ana");
 *     await server.later("2h");
 */
export class TestServer implements Gateway, World {
  /** Does what programs do: newMessage, publish, members, … */
  readonly emitter: Emitter;
  /** For `createEmitter` of one's own. */
  readonly transport: Transport;
  /** For the option `WebSocket` of `connect`, and of a `BellhopProvider`. */
  readonly WebSocket: new (url: string, protocols: string | string[]) => Socket;
  /** For `connect` and `BellhopProvider`: nothing is at it. */
  readonly url = "ws://bellhop.test/dev";
  /** Handshakes are refused, as if nobody listened. Connections that are open stay. */
  down = false;

  readonly #options: TestServerOptions;
  readonly #clock: Clock;
  #kinds: Map<string, KindOptions>;
  #rooms = new Map<string, Room>();
  #open = new Map<string, Connection>();
  #clients: Client[] = [];
  #faults: (Fault & { times: number })[] = [];
  #named = 0;

  constructor(options: TestServerOptions = {}) {
    this.#options = options;
    this.#clock = new Clock(options.now ?? Date.now());
    this.#kinds = new Map(Object.entries(options.kinds ?? KINDS).map(([name, kind]) => [name, { ...kind, keep: milliseconds(kind.keep) }]));
    const gateway: Gateway = this;
    this.WebSocket = class extends Socket {
      constructor(_url: string, protocols: string | string[] = []) {
        super(gateway, protocols);
      }
    };
    this.transport = {
      answers: true,
      send: async (texts) => Promise.all(texts.map(async (text): Promise<Outcome> => ({ answer: await command(this, JSON.parse(text)) }))),
    };
    this.emitter = createEmitter(this.transport);
  }

  /** The server's time, in Unix milliseconds. */
  get now(): number {
    return this.#clock.now;
  }

  /** A client of a user. It is closed by `close`. */
  connect(user: string, options: Partial<ConnectOptions> & { name?: string; grants?: Record<string, readonly Grant[]>; ttl?: Duration } = {}): Client {
    const { name, grants, ttl, ...more } = options;
    const token = () => this.token(user, { ...(name !== undefined && { name }), ...(grants && { grants }), ...(ttl !== undefined && { ttl }) });
    const client = connect(this.url, { token, WebSocket: this.WebSocket, ...more });
    this.#clients.push(client);
    return client;
  }

  /** A token. Its signature is none: this server believes whatever a token says, and what `signToken` has made as well. */
  token(user: string, { name, grants, ttl = "1h" }: { name?: string; grants?: Record<string, readonly Grant[]>; ttl?: Duration } = {}): string {
    const now = Math.floor(this.now / 1000);
    const claims = { sub: user, iat: now, exp: now + Math.floor(milliseconds(ttl) / 1000), ...(name !== undefined && { name }), ...(grants && { grants }) };
    return `${base64url({ alg: "none" })}.${base64url(claims)}.`;
  }

  /** Cuts connections without a word, as a network does: those of a user, or all. Their clients come back by themselves. */
  cut(user?: string): void {
    for (const connection of this.connections(user)) this.#end(connection, 1006);
  }

  /**
   * Lets time pass on the server: "90s", "2h". What is due in it happens in its order: tokens and connections end, clients come back,
   * the grace of presences is over, logs forget. Clients have the time of their program, or of its fake timers.
   */
  later(time: Duration): Promise<void> {
    return this.#clock.pass(milliseconds(time));
  }

  /** Lets everything happen that is under way. */
  settled(): Promise<void> {
    return settle();
  }

  /** Has the next fitting action go wrong. */
  fail(fault: Fault): void {
    this.#faults.push({ times: 1, ...fault });
  }

  /** What a room's log has. */
  log(room: string): readonly LoggedEvent[] {
    return this.#rooms.get(room)?.log ?? [];
  }

  /** Whose connections are in a room, once for each. */
  members(room: string): string[] {
    return [...(this.#rooms.get(room)?.members ?? [])].map(({ user }) => user);
  }

  /** Who is present in a room. */
  present(room: string): readonly Occupant[] {
    return this.#rooms.get(room)?.present ?? [];
  }

  /** Open connections: those of a user, or all. */
  connections(user?: string): Connection[] {
    return [...this.#open.values()].filter((connection) => user === undefined || connection.user === user);
  }

  /** Closes all clients that it has given. */
  close(): void {
    for (const client of this.#clients.splice(0)) client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // —— what sockets, actions and commands need ——

  open(socket: Socket, protocols: readonly string[]): void {
    if (socket.readyState !== 0) return;
    const bearer = protocols.find((one) => one.startsWith("bearer."));
    const identity = bearer && this.identify(bearer.slice("bearer.".length));
    if (this.down || !identity || identity.expires <= this.now) return socket.refuse();
    const connection = new Connection(`test-${++this.#named}=`, identity, socket, this.now);
    void this.#admit(connection);
  }

  async #admit(connection: Connection): Promise<void> {
    const { socket, identity } = connection;
    const answer = await this.ask(connection, { hook: "connect" }).catch(() => null);
    if (!answer || answer.deny) return socket.refuse();
    identity.grants = { ...identity.grants, ...answer.grants };
    if (socket.readyState !== 0) return;
    this.#open.set(connection.id, connection);
    socket.gone = (code) => this.#gone(connection, code);
    socket.heard = (text) => void this.#hear(connection, text);
    this.expireLater(connection);
    connection.forget.push(this.#clock.at(this.now + LONGEST, () => this.#end(connection, 1001)));
    for (const name of [`user:${connection.user}`, ...(answer.rooms ?? [])]) this.enter(connection, this.room(name)!);
    socket.accept();
  }

  /** Ends a connection with its token. */
  expireLater(connection: Connection): void {
    const expires = this.#clock.at(connection.identity.expires, () => {
      if (connection.identity.expires <= this.now) this.kick(connection, "expired");
    });
    connection.forget.push(expires);
  }

  /** Closes a connection, after it was told why. */
  kick(connection: Connection, reason: string): void {
    connection.socket.receive({ event: "session:ending", ts: this.now, data: { reason } });
    queueMicrotask(() => this.#end(connection, 1001));
  }

  enter(connection: Connection, room: Room): void {
    connection.rooms.add(room);
    room.enter(connection, connection.identity.name);
  }

  exit(connection: Connection, room: Room, clean: boolean): void {
    connection.rooms.delete(room);
    room.exit(connection, clean);
  }

  /** A room of a kind that there is. */
  room(name: string): Room | undefined {
    const kind = this.#kinds.get(name.split(":")[0]!);
    const known = this.#rooms.get(name);
    if (known || !kind) return known;
    const room = new Room(name, kind, this.#clock, milliseconds(this.#options.grace ?? "10s"), () => `test${String(++this.#named).padStart(6, "a")}`);
    this.#rooms.set(name, room);
    return room;
  }

  get hooked(): boolean {
    return this.#options.hook !== undefined;
  }

  get rooms(): Room[] {
    return [...this.#rooms.values()];
  }

  /** What a token says; undefined if it is none. */
  identify(token: string): Identity | undefined {
    try {
      const text = atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"));
      const { sub, name, grants, exp } = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))));
      if (typeof sub !== "string" || typeof exp !== "number") return undefined;
      return { user: sub, ...(typeof name === "string" && { name }), grants: grants ?? this.#options.grants ?? EVERYTHING, expires: exp * 1000 };
    } catch {
      return undefined;
    }
  }

  async ask(connection: Connection, question: Omit<Question, "user" | "connection" | "time">): Promise<HookAnswer> {
    const { user, identity: { name } } = connection;
    return (await this.#options.hook?.({ ...question, user: { id: user, ...(name !== undefined && { name }) }, connection: connection.id, time: this.now })) ?? {};
  }

  async #hear(connection: Connection, text: string): Promise<void> {
    const frame = JSON.parse(text) as Frame;
    const fault = this.#faults.find(({ action, user }) => (action === undefined || action === frame.action) && (user === undefined || user === connection.user));
    if (fault && --fault.times <= 0) this.#faults = this.#faults.filter((one) => one !== fault);
    if (fault?.lost === "frame") return;
    const answer = fault?.code ? refusal(frame, new Refused(fault.code, `It is ${fault.code}, as the test wants it.`, fault.retryAfterMs)) : await this.#answer(connection, frame);
    if (answer && fault?.lost !== "answer") connection.socket.receive(answer);
  }

  async #answer(connection: Connection, frame: Frame): Promise<object | null> {
    if (frame.action === "ping") return { event: "pong" };
    try {
      const data = await act(this, connection, frame);
      return frame.id === undefined ? null : { reply: frame.id, ok: true, data };
    } catch (err) {
      if (err instanceof Refused) return refusal(frame, err);
      console.error(err);
      return refusal(frame, new Refused("unavailable", "A hook of the test failed."));
    }
  }

  #end(connection: Connection, code: number): void {
    connection.socket.end(code);
  }

  #gone(connection: Connection, code: number): void {
    if (!this.#open.delete(connection.id)) return;
    for (const forget of connection.forget) forget();
    const rooms = [...connection.rooms].map(({ name }) => name);
    for (const room of [...connection.rooms]) this.exit(connection, room, code === 1000 || connection.reason !== "");
    void this.ask(connection, { hook: "disconnect", rooms }).catch(console.error);
  }
}

function refusal({ id }: Frame, { code, message, retryAfterMs }: Refused): object {
  const retry = code === "rate_limited" || code === "unavailable" || code === "internal";
  return { reply: id ?? null, ok: false, error: { code, message, retry, ...(retryAfterMs !== undefined && { retryAfterMs }) } };
}

function base64url(value: object): string {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
