import type { From } from "../types.js";
import { append, known, retract } from "./actions.js";
import type { Connection } from "./connection.js";
import type { Room } from "./room.js";
import { Refused, type World } from "./world.js";

/** A command of a program. */
interface Command {
  command: string;
  room?: string;
  rooms?: string[];
  user?: string;
  users?: string[];
  connection?: string;
  connections?: string[];
  except?: string[];
  event?: string;
  data?: unknown;
  id?: string;
  ephemeral?: boolean;
  all?: boolean;
  from?: From;
  before?: number;
  limit?: number;
  after?: string;
  reason?: string;
}

/** Does what a program asks of the function `emit`, and gives its answer. */
export async function command(server: World, asked: Command): Promise<object> {
  try {
    const does = COMMANDS[asked.command];
    if (!does) throw new Refused("unknown_action", `there is no command ${asked.command}`);
    const { data, error } = does(server, asked);
    return error ? { ok: false, data, error: { code: error.code, message: error.message, retry: false } } : { ok: true, data };
  } catch (err) {
    if (!(err instanceof Refused)) throw err;
    return { ok: false, error: { code: err.code, message: err.message, retry: false } };
  }
}

const COMMANDS: Record<string, (server: World, command: Command) => { data: unknown; error?: Refused }> = {
  publish(server, { rooms = [], users = [], connections = [], event = "", data, id, ephemeral, all, except = [], from }) {
    if ((rooms.length + users.length + connections.length === 0) !== !!all) {
      throw new Refused("bad_request", 'publish needs "rooms", "users" or "connections", or "all" without any of these');
    }
    if (all) {
      const open = server.connections().filter(({ user }) => !except.includes(user) && !except.includes(`user:${user}`));
      if (ephemeral) connections = open.map((one) => one.id).filter((one) => !except.includes(one));
      else users = [...new Set(open.map(({ user }) => user))];
    }
    const leftOut = except.flatMap((name) => (name.includes(":") ? [...(server.room(name)?.members ?? [])].map((member) => member.id) : [name]));
    let error: Refused | undefined;
    const results = [...rooms, ...users.map((user) => `user:${user}`)].map((name) => {
      try {
        return { room: name, ...tell(known(server, name)) };
      } catch (err) {
        if (!(err instanceof Refused)) throw err;
        error ??= err;
        return { room: name, error: { code: err.code, message: err.message, retry: false } };
      }
    });
    function tell(room: Room): object {
      if (ephemeral) {
        room.tell({ event, room: room.name, ...(from && { from }), ...(data !== undefined && { data }) }, leftOut);
        return {};
      }
      if (event === "message:deleted") {
        const { messageId, userId } = data as { messageId: string; userId?: string };
        return retract(room, messageId, room.redact(messageId, userId), from);
      }
      const { seq, id: logged, ts } = append(room, { event, id, data, from, except: leftOut, maker: "#program" });
      return { epoch: room.epoch, seq, id: logged, ts };
    }
    const pushed = connections.map((name) => {
      const [connection] = server.connections().filter((one) => one.id === name);
      connection?.push({ event, ...(id !== undefined && { id }), ts: server.now, ...(from && { from }), ...(data !== undefined && { data }) });
      return { connection: name, ...(connection ? {} : { gone: true }) };
    });
    const told = [...results, ...pushed];
    const failed = told.filter((one) => "error" in one);
    const reached = told.filter((one) => !("error" in one) && !("gone" in one)).length;
    return { data: all ? { results: failed, reached } : { results: told }, ...(error && { error }) };
  },

  presence(server, { room: name, after = "" }) {
    const room = known(server, name);
    if (!room.kind.presence) throw new Refused("bad_request", `rooms of the kind of ${room.name} have no presence`);
    return { data: { room: name, presence: room.present.filter(({ userId }) => userId > after) } };
  },

  members: (server, { room }) => ({ data: { room, members: [...known(server, room).members].map(({ id, user }) => ({ connection: id, userId: user })), more: false } }),

  history(server, { room: name, before, limit }) {
    const room = known(server, name);
    return { data: { room: name, epoch: room.epoch, seq: room.seq, ...room.page(before, limit) } };
  },

  connections: (server, asked) => ({
    data: {
      connections: chosen(server, asked).map(({ id, user, identity: { name }, rooms, connectedAt }) => (
        { connection: id, userId: user, ...(name !== undefined && { name }), rooms: [...rooms].map((room) => room.name), codec: "bellhop.v1", connectedAt }
      )),
    },
  }),

  join(server, { room: name, ...asked }) {
    const room = known(server, name);
    const all = chosen(server, asked);
    for (const connection of all) if (!connection.rooms.has(room)) server.enter(connection, room);
    return { data: { version: "testing", connections: all.length } };
  },

  leave(server, { room: name, ...asked }) {
    const room = known(server, name);
    const all = chosen(server, asked).filter((connection) => connection.rooms.has(room));
    for (const connection of all) expel(server, connection, room, "removed");
    return { data: { connections: all.length } };
  },

  disconnect(server, { reason = "disconnected", ...asked }) {
    const all = chosen(server, asked);
    for (const connection of all) {
      connection.reason = reason;
      server.kick(connection, reason);
    }
    return { data: { disconnected: all.length } };
  },

  close(server, { room: name, reason = "closed" }) {
    const room = known(server, name);
    room.reset();
    for (const connection of server.connections()) if (connection.rooms.has(room)) expel(server, connection, room, reason);
    return { data: { room: name } };
  },

  stats(server) {
    const rooms: Record<string, number> = {};
    const memberships: Record<string, number> = {};
    for (const { name, members } of server.rooms) {
      const kind = name.split(":")[0]!;
      if (members.size > 0) rooms[kind] = (rooms[kind] ?? 0) + 1;
      if (members.size > 0) memberships[kind] = (memberships[kind] ?? 0) + members.size;
    }
    const all = server.connections();
    return { data: { connections: all.length, users: new Set(all.map(({ user }) => user)).size, rooms, memberships } };
  },
};

function chosen(server: World, { rooms = [], users = [], user, connections = [], connection, except = [] }: Omit<Command, "command">): Connection[] {
  const [allUsers, ids] = [[...users, ...(user === undefined ? [] : [user])], [...connections, ...(connection === undefined ? [] : [connection])]];
  const inRoom = (one: Connection, names: readonly string[]) => [...one.rooms].some(({ name }) => names.includes(name));
  return server.connections().filter((one) => inRoom(one, rooms) || allUsers.includes(one.user) || ids.includes(one.id))
    .filter((one) => !except.includes(one.id) && !except.includes(one.user) && !inRoom(one, except));
}

function expel(server: World, connection: Connection, room: Room, reason: string): void {
  connection.push({ event: "room:closed", room: room.name, data: { reason } });
  server.exit(connection, room, true);
}
