import type { ErrorCode, From, LoggedEvent, Position } from "../types.js";
import type { Connection } from "./connection.js";
import { Conflict, type Room } from "./room.js";
import { Refused, type World } from "./world.js";

/** A frame of a client. */
export interface Frame {
  action: string;
  id?: string;
  room?: string;
  rooms?: { room: string; since?: Position; listed?: boolean }[];
  since?: Position;
  listed?: boolean;
  event?: string;
  data?: unknown;
  status?: string;
  after?: string;
  before?: number;
  limit?: number;
  token?: string;
  notificationId?: string;
}

const RESERVED = /^(user|presence|notification|buddy|room|session):/;
const TYPING_FOR = 12_000;

/** Does what a client asks for, and gives the data of the reply. */
export async function act(server: World, connection: Connection, frame: Frame): Promise<unknown> {
  if (connection.identity.expires <= server.now && frame.action !== "auth") throw new Refused("expired", "The token has expired; renew it with auth or connect again.");
  const does = ACTIONS[frame.action];
  return does ? does(server, connection, frame) : callHook(server, connection, frame);
}

type Does = (server: World, connection: Connection, frame: Frame) => unknown;

const ACTIONS: Record<string, Does> = {
  async join(server, connection, { room, rooms, since, listed }) {
    if (!rooms) return join(server, connection, room, since, listed);
    const results = [];
    for (const one of rooms) {
      results.push(await join(server, connection, one.room, one.since, one.listed).catch((err: unknown) => {
        if (!(err instanceof Refused)) throw err;
        return { room: one.room, error: { code: err.code, message: err.message, retry: false } };
      }));
    }
    return { rooms: results };
  },

  leave(server, connection, frame) {
    const room = known(server, frame.room);
    if (room.kind.owner) throw new Refused("bad_request", "a user's own room cannot be left");
    if (connection.rooms.has(room)) server.exit(connection, room, true);
    return { room: room.name };
  },

  async publish(server, connection, { room: name, event = "", id, data }) {
    if (event === "message:deleted") return remove(server, connection, known(server, name), data as { messageId?: string; userId?: string });
    if (RESERVED.test(event)) throw new Refused("forbidden", `only the server sends ${event}`);
    if (!event) throw new Refused("bad_request", "publish needs an event");
    const room = known(server, name);
    if (!connection.may(room.name, "publish")) throw new Refused("forbidden", `the token does not grant "publish" in ${room.name}`);
    mustBeIn(connection, room);
    const { deny, data: instead = data } = await server.ask(connection, { hook: "publish", room: room.name, event, data, ...(id !== undefined && { id }) });
    if (deny) throw denied(deny);
    return published(room, append(room, { event, id, data: instead, from: fromOf(connection), maker: connection.user }));
  },

  signal(server, connection, { room: name, event = "", data }) {
    const room = known(server, name);
    mustBeIn(connection, room);
    const typing = event === "typing:start" || event === "typing:stop";
    if (!connection.may(room.name, "publish") && !connection.may(room.name, "signal")) throw new Refused("forbidden", `the token does not grant "signal" in ${room.name}`);
    if (RESERVED.test(event)) throw new Refused("forbidden", `only the server sends ${event}`);
    if (event.startsWith("message:")) throw new Refused("bad_request", `${event} is logged: publish it`);
    const told = typing
      ? { event: event === "typing:start" ? "user:typing" : "user:stopped-typing", ...(event === "typing:start" && { data: { until: server.now + TYPING_FOR } }) }
      : { event, ...(data !== undefined && { data }) };
    room.tell({ ...told, room: room.name, from: fromOf(connection) }, [connection.id]);
    return { room: room.name };
  },

  presence(server, connection, { room: name, status, data, after = "" }) {
    const one = name === undefined ? undefined : known(server, name);
    if (one && !one.kind.presence) throw new Refused("bad_request", `rooms of the kind of ${one.name} have no presence`);
    if (one) mustBeIn(connection, one);
    if (status === undefined) return { room: name, presence: one?.present.filter(({ userId }) => userId > after) ?? [] };
    const rooms = (one ? [one] : [...connection.rooms]).filter(({ kind }) => kind.presence);
    for (const room of rooms) room.setStatus(connection.user, status, data);
    return { rooms: rooms.map((room) => room.name), status };
  },

  history(server, connection, { room: name, before, limit }) {
    const room = known(server, name);
    mustBeIn(connection, room);
    return { room: room.name, epoch: room.epoch, seq: room.seq, ...room.page(before, limit) };
  },

  async auth(server, connection, { token = "" }) {
    const identity = server.identify(token);
    if (!identity || identity.user !== connection.user) throw new Refused("unauthenticated", "the token must name the same user");
    if (identity.expires <= server.now) throw new Refused("expired", "The token has expired; renew it with auth or connect again.");
    connection.identity = identity;
    server.expireLater(connection);
    for (const room of [...connection.rooms]) {
      if (room.kind.owner || connection.may(room.name, "join")) continue;
      connection.push({ event: "room:closed", room: room.name, data: { reason: "forbidden" } });
      server.exit(connection, room, true);
    }
    return { userId: identity.user, expires: identity.expires };
  },

  pause(_server, connection) {
    connection.paused = true;
    return { rooms: [...connection.rooms].filter(({ kind }) => !kind.owner).map(({ name }) => name) };
  },

  "notification:read"(server, connection, { notificationId = "" }) {
    const own = server.room(`user:${connection.user}`)!;
    return published(own, append(own, { event: "notification:read", id: `read:${notificationId}`, from: fromOf(connection), data: { notificationId } }));
  },
};

async function join(server: World, connection: Connection, name: string | undefined, since: Position | undefined, listed = false): Promise<object> {
  const room = known(server, name);
  const own = room.name === `user:${connection.user}`;
  if (room.kind.owner && !own) throw new Refused("forbidden", "a user's own room is that user's alone");
  const granted = own || connection.may(room.name, "join");
  const answer = own ? {} : await server.ask(connection, { hook: "join", room: room.name, granted });
  if (answer.deny) throw denied(answer.deny);
  if (!granted && !answer.allow) throw new Refused("forbidden", `the token does not grant "join" in ${room.name}`);
  const missed = room.since(since, connection);
  connection.paused = false;
  const newer = !connection.rooms.has(room);
  if (newer) server.enter(connection, room);
  if (answer.status !== undefined) room.setStatus(connection.user, answer.status, answer.statusData);
  return {
    room: room.name, epoch: room.epoch, seq: room.seq, recovered: missed !== null,
    events: missed ? room.since(since, connection) : [],
    ...(room.kind.presence && !(listed && missed) && { presence: room.present }), ...(answer.data !== undefined && { state: answer.data }),
  };
}

function remove(server: World, connection: Connection, room: Room, { messageId = "", userId }: { messageId?: string; userId?: string } = {}): object {
  mustBeIn(connection, room);
  const moderates = connection.may(room.name, "moderate");
  const author = moderates ? userId : connection.user;
  const found = (!moderates && userId !== undefined && userId !== connection.user) || messageId === "" ? [] : room.redact(messageId, author);
  if (found.length === 0 && !moderates) {
    throw new Refused("forbidden", 'only one\'s own messages of this room, as far as its log reaches, may be deleted without the grant "moderate"');
  }
  return retract(room, messageId, found, fromOf(connection));
}

/** Tells a room that messages are deleted, whether it knows them or not. */
export function retract(room: Room, messageId: string, found: readonly { seq: number; from?: From }[], from: From | undefined): object {
  const tell = (data: object, maker: string) => append(room, { event: "message:deleted", id: `deleted:${messageId}`, from, data, maker });
  const all = found.map(({ seq, from: author }) => tell({ messageId, ...(author && { userId: author.userId }), seq }, `deletion ${seq}`));
  return published(room, all.at(-1) ?? tell({ messageId }, "deletion"));
}

async function callHook(server: World, connection: Connection, { action, room, data, id }: Frame): Promise<unknown> {
  if (!server.hooked) throw new Refused("unknown_action", `there is no action "${action}"`);
  const { deny, data: answer } = await server.ask(connection, {
    hook: "action", action, rooms: [...connection.rooms].map(({ name }) => name), ...(room !== undefined && { room }), ...(data !== undefined && { data }), ...(id !== undefined && { id }),
  });
  if (deny) throw denied(deny);
  return answer;
}

/** Appends, or refuses an id that is taken. */
export function append(room: Room, draft: Parameters<Room["append"]>[0]): ReturnType<Room["append"]> {
  try {
    return room.append(draft);
  } catch (err) {
    throw err instanceof Conflict ? new Refused("conflict", "The id is already used for something else.") : err;
  }
}

function published({ name, epoch }: Room, { seq, id, ts }: LoggedEvent): object {
  return { room: name, epoch, seq, id, ts };
}

/** The room of a name that is one. */
export function known(server: World, name: string | undefined): Room {
  if (!/^[a-z0-9-]+:[^\s#*]+$/.test(name ?? "")) throw new Refused("bad_request", 'room must be "kind:id", such as "channel:42": at most 128 bytes, no spaces, \'#\' or \'*\'');
  const room = server.room(name!);
  if (!room) throw new Refused("unknown_room_kind", "There is no such kind of room.");
  return room;
}

function mustBeIn(connection: Connection, room: Room): void {
  if (!connection.rooms.has(room)) throw new Refused("not_in_room", "The connection has not joined this room.");
}

function denied({ code = "forbidden", message = "The application refuses this." }: { code?: ErrorCode; message?: string }): Refused {
  return new Refused(code, message);
}

function fromOf({ user, identity: { name } }: Connection): From {
  return { userId: user, ...(name !== undefined && { name }) };
}
