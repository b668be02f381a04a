import type { EmitName, RoomName } from "../register.js";
import { unless } from "../time.js";
import type { CheckIn, From, Goal, HistoryResult, Message, Notification, Occupant, SystemEvents } from "../types.js";
import { EmitError, about, asEmitError, badRequest, type EmitErrorCode, type TargetResult } from "./errors.js";
import { createOperator, type Operator } from "./operator.js";
import { commands, write, type Author, type Id, type LoosePublish, type Publish, type Published } from "./publish.js";
import type { Outcome, Transport } from "./transport.js";

/** What became of one of several publishes. */
export interface Outcomes extends Published {
  /** Why it failed, at least for one target. */
  error?: EmitError;
}

/** One connection in a room. */
export interface Member {
  connection: string;
  userId: string;
}

/** The connections in a room. */
export interface MembersResult {
  room: string;
  members: Member[];
  /** There are more: only a function of before this version says so, which gives the first thousand alone. */
  more: boolean;
}

/** What is open now. */
export interface Stats {
  /** Of Bellhop where it is deployed, such as "v0.1.0"; older ones do not say. */
  version?: string;
  connections: number;
  users: number;
  /** Rooms with members, by kind: `{ channel: 12 }`. */
  rooms: Record<string, number>;
  /** Connections in rooms, by kind of room. */
  memberships: Record<string, number>;
}

/** A change of presence that an application tells about. */
export interface PresenceChange {
  userId: Id;
  name?: string | undefined;
  /** "online", "away", "busy" or any string of at most 32 bytes. */
  status: string;
  data?: unknown;
}

/** Whom to disconnect: all connections of a user, or one connection. */
export type Disconnect =
  | { user: string; connection?: never; reason?: string }
  | { connection: string; user?: never; reason?: string };

/** What the helpers take beside the event itself. */
export interface EventOptions {
  /** Of the event, so that it can be sent again without being logged twice. */
  id?: string;
  /** Whom the event comes from. */
  from?: Author;
  /** Connection ids and user ids that do not get it. */
  except?: readonly string[];
}

type Names = readonly Id[];

/** What tells something, in the words that applications had for it. */
export interface Helpers<Sent = Published> {
  /**
   * Sends message:new to the room channel:<channelId>. The event's id, which `messageDeleted` names, is `options.id`, or
   * else `message.id` if that is a string or a number: sending a row again under its primary key logs nothing twice.
   */
  newMessage<Row extends Pick<Message, "content">>(channelId: Id, message: Row, options?: EventOptions): Promise<Sent>;
  /** Sends message:deleted to the room channel:<channelId>, and redacts the message in its log. */
  messageDeleted(channelId: Id, messageId: Id): Promise<Sent>;
  /**
   * Sends notification:new to all devices of a user or of many, also to those that connect while the log of user:<userId>
   * keeps it. The id, which notification:read names, is found as that of `newMessage` is. An empty list sends nothing.
   */
  newNotification<Row extends object = Notification>(userIds: Id | Names, notification: Row, options?: EventOptions): Promise<Sent>;
  /** Sends presence:changed to the room community:<communityId>. What `presence` answers stays as it is. */
  presenceChanged(communityId: Id, change: PresenceChange, options?: EventOptions): Promise<Sent>;
  /** Sends buddy:goal-completed to users, the buddies of the one whose goal it is. An empty list sends nothing. */
  buddyGoalCompleted<Row extends object = Goal>(userIds: Id | Names, goal: Row, options?: EventOptions): Promise<Sent>;
  /** Sends buddy:check-in to users, the buddies of the one who checked in. An empty list sends nothing. */
  buddyCheckIn<Row extends object = CheckIn>(userIds: Id | Names, checkIn: Row, options?: EventOptions): Promise<Sent>;
  /** Sends user:typing to the room channel:<channelId>, except to that user. It is forgotten after 12 seconds: repeat it every 10. */
  userTyping(channelId: Id, user: Author): Promise<Sent>;
  /** Sends user:stopped-typing to the room channel:<channelId>, except to that user. */
  userStoppedTyping(channelId: Id, user: Author): Promise<Sent>;

  /**
   * Sends an event. If it failed for some target, the error is the first failure, and its `results` say what became of
   * every target. More than 1,000 targets, or so many that the command had more than 200 KB, go as several commands with
   * the same id.
   */
  publish<E extends EmitName>(publish: Publish<E>): Promise<Sent>;
}

/**
 * Sends events to rooms, and asks and tells Bellhop other things. Every call that fails rejects with an
 * {@link EmitError}. Calls that ask something (presence, members, history) reject with "no_answer" over `sqs`, and numbers
 * are 0 there.
 */
export interface Emitter extends Helpers {
  /**
   * Sends events, several with one request where the transport can, and gives what became of each, in order: look at
   * `error`. It rejects, and sends nothing, only when one of them is malformed. SQS keeps no order, the others stop at the
   * first request that fails.
   */
  publishAll<E extends readonly EmitName[]>(...publishes: { [I in keyof E]: Publish<E[I]> }): Promise<Outcomes[]>;
  /** Gives the users who are present in a room. */
  presence(room: RoomName): Promise<Occupant[]>;
  /** Gives all connections that are in a room, asking once for about a thousand. */
  members(room: RoomName): Promise<MembersResult>;
  /** Gives logged events of a room, up to `limit` of those with a seq below `before`. Without `before` it begins with the newest. */
  history(room: RoomName, options?: { before?: number; limit?: number }): Promise<HistoryResult>;
  /**
   * The same emitter, whose calls are given up when the signal is given: they reject with its reason, and what is not sent by then
   * is not sent. What was sent may be done all the same.
   */
  until(signal: AbortSignal): Emitter;
  /** What is done with the connections in rooms, in the words of Socket.IO's servers; a user is the room `user:<id>`. */
  to(rooms: RoomName | readonly RoomName[]): Operator;
  /** Is `to`. */
  in(rooms: RoomName | readonly RoomName[]): Operator;
  /** Counts connections, users and rooms, by reading every connection's row: on AWS about 1 RCU for ten. */
  stats(): Promise<Stats>;
  /** Closes connections and gives how many. The clients may connect again as long as their token is good. */
  disconnect(whom: Disconnect): Promise<number>;
  /** Puts every open connection of a user into a room, and gives how many those are. */
  join(user: string, room: RoomName): Promise<number>;
  /** Takes every connection of a user out of a room, and gives how many those are. */
  leave(user: string, room: RoomName): Promise<number>;
  /** Tells everybody in a room that it is closed, takes them out of it, and forgets its log. */
  close(room: RoomName, reason?: string): Promise<void>;
}

/** What an emitter can be told when it is made. */
export interface EmitterOptions {
  /** Makes the ids of publishes that have none; each must be new. `crypto.randomUUID`. */
  newId?: () => string;
}

const TYPING_FOR = 12_000; // milliseconds: what the server says of its clients' typing

/** Gives an emitter over a transport. */
export function createEmitter(transport: Transport, { newId = () => crypto.randomUUID() }: EmitterOptions = {}): Emitter {
  return emitter(transport, newId, undefined);
}

function emitter(transport: Transport, newId: () => string, signal: AbortSignal | undefined): Emitter {
  const send = (texts: readonly string[]) => handOver(transport, texts, signal);

  const tell = async (command: string, fields: Record<string, unknown>): Promise<Record<string, unknown>> => {
    const text = write({ command, ...fields }, `the ${command} command`)!;
    const [outcome] = await send([text]);
    const { data, error } = read(outcome!, transport.answers);
    if (error) throw error;
    return data;
  };

  const ask = async <T>(command: string, fields: Record<string, unknown>): Promise<T> => {
    if (!transport.answers) {
      throw new EmitError("no_answer", `${command} needs an answer, and this transport brings none: use lambda or http`);
    }
    return (await tell(command, fields)) as T;
  };

  const publishAll = async (publishes: readonly LoosePublish[]): Promise<Outcomes[]> => {
    const ready = publishes.map((publish) => {
      const id = publish.id || (publish.ephemeral ? undefined : newId());
      return { id, texts: commands({ ...publish, ...(id === undefined ? {} : { id }) }) };
    });
    const outcomes = await send(ready.flatMap(({ texts }) => texts));
    const done: Outcomes[] = [];
    let at = 0;
    for (const { id, texts } of ready) {
      const parts = outcomes.slice(at, (at += texts.length)).map((outcome) => read(outcome, transport.answers));
      for (let last = parts.at(-1)!; typeof last.data.next === "string"; parts.push(last)) { // of one that goes to all, if not to some
        const [outcome] = await send([JSON.stringify({ ...JSON.parse(texts[0]!), after: last.data.next })]);
        last = read(outcome!, transport.answers);
      }
      const results = parts.flatMap(({ data }) => (Array.isArray(data.results) ? (data.results as TargetResult[]) : []));
      const reached = parts.reduce((sum, { data }) => sum + (Number(data.reached) || 0), 0);
      const error = parts.find((part) => part.error)?.error;
      done.push({ id, results, ...(reached > 0 && { reached }), ...(error && { error: about(error, id, results) }) });
    }
    return done;
  };

  const publish = async (one: LoosePublish): Promise<Published> => {
    const [{ error, ...published }] = (await publishAll([one])) as [Outcomes];
    if (error) throw error;
    return published;
  };

  /** The helpers' publish: the data is of an event's own type, give or take what only the server knows. */
  const event = (name: keyof SystemEvents, to: Pick<LoosePublish, "rooms" | "users">, data: object | undefined, options: EventOptions = {}) =>
    publish({ ...to, ...options, event: name, data });

  const toUsers = async (name: keyof SystemEvents, userIds: Id | Names, data: object, options: EventOptions = {}) => {
    const users = [userIds].flat().map((id) => (typeof id === "number" ? String(id) : id));
    // nobody to tell is an ordinary case, such as a user without buddies
    return users.length === 0 ? { id: options.id, results: [] } : event(name, { users }, data, options);
  };

  const typing = async (name: "user:typing" | "user:stopped-typing", channelId: Id, from: Author) => {
    need({ channelId, userId: from.userId }, "typing needs a channel and a user");
    const data = name === "user:typing" ? { until: Date.now() + TYPING_FOR } : undefined;
    return publish({ rooms: [`channel:${channelId}`], event: name, data, from, ephemeral: true, except: [String(from.userId)] });
  };

  const operator = (rooms: string | readonly string[]) =>
    createOperator(publish, (name, fields, answers) => (answers ? ask(name, fields) : tell(name, fields)) as never,
      typeof rooms === "string" ? [rooms] : rooms);

  return {
    async newMessage(channelId, message, options) {
      need({ channelId, content: message.content ?? undefined }, "a message needs a channel and content: newMessage(channelId, { content, … }), without io");
      return event("message:new", { rooms: [`channel:${channelId}`] }, message, named(message, options));
    },
    async messageDeleted(channelId, messageId) {
      need({ channelId, messageId }, "deleting a message needs its channel and its id");
      return event("message:deleted", { rooms: [`channel:${channelId}`] }, { messageId: String(messageId) });
    },
    newNotification: async (userIds, notification, options) =>
      toUsers("notification:new", userIds, notification, named(notification, options)),
    async presenceChanged(communityId, { userId, name, status, data }, options) {
      need({ communityId, userId, status }, "a changed presence needs a community, a user and a status");
      return event("presence:changed", { rooms: [`community:${communityId}`] }, { userId: String(userId), name, status, data }, options);
    },
    buddyGoalCompleted: async (userIds, goal, options) => toUsers("buddy:goal-completed", userIds, goal, options),
    buddyCheckIn: async (userIds, checkIn, options) => toUsers("buddy:check-in", userIds, checkIn, options),
    userTyping: async (channelId, user) => typing("user:typing", channelId, user),
    userStoppedTyping: async (channelId, user) => typing("user:stopped-typing", channelId, user),

    publish: async (one) => publish(one),
    publishAll: async (...all) => publishAll(all as readonly LoosePublish[]),
    async presence(room) {
      need({ room }, "presence needs a room");
      const all: Occupant[] = [];
      for (;;) {
        const { presence, more } = await ask<{ presence: Occupant[]; more?: boolean }>("presence", { room, after: all.at(-1)?.userId });
        all.push(...presence);
        if (!more || presence.length === 0) return all;
      }
    },
    async members(room) {
      need({ room }, "members needs a room");
      const members: Member[] = [];
      for (let after: string | undefined; ; ) {
        const page = await ask<MembersResult & { next?: string }>("members", { room, after });
        members.push(...page.members);
        if (!page.next || page.next === after) return { room, members, more: page.more };
        after = page.next;
      }
    },
    async history(room, { before, limit } = {}) {
      need({ room }, "history needs a room");
      return ask<HistoryResult>("history", { room, before, limit });
    },
    until: (until) => emitter(transport, newId, signal ? AbortSignal.any([signal, until]) : until),
    to: operator,
    in: operator,
    stats: async () => ask<Stats>("stats", {}),
    async disconnect({ user, connection, reason }) {
      if (!user === !connection) throw badRequest("disconnect needs a user or a connection, and not both");
      return count((await tell("disconnect", { user, connection, reason })).disconnected);
    },
    async join(user, room) {
      need({ user, room }, "join needs a user and a room");
      return count((await tell("join", { user, room })).connections);
    },
    async leave(user, room) {
      need({ user, room }, "leave needs a user and a room");
      return count((await tell("leave", { user, room })).connections);
    },
    async close(room, reason) {
      need({ room }, "close needs a room");
      await tell("close", { room, reason });
    },
  };
}

function need(fields: Record<string, unknown>, message: string): void {
  if (Object.values(fields).some((value) => value === undefined || value === null || value === "")) throw badRequest(message);
}

/** An object that comes out of a database names the event by its own id, unless the caller does. */
function named(row: object, options: EventOptions = {}): EventOptions {
  const { id } = row as { id?: unknown };
  if (options.id || (typeof id !== "string" && typeof id !== "number") || id === "") return options;
  return { ...options, id: String(id) };
}

/** A transport without answers counts nothing. */
function count(n: unknown): number {
  return typeof n === "number" ? n : 0;
}

/** Transport.send that rejects when it is given up alone, and holds the transports of other people to their promises. */
async function handOver(transport: Transport, texts: readonly string[], signal: AbortSignal | undefined): Promise<readonly Outcome[]> {
  if (texts.length === 0) return [];
  signal?.throwIfAborted();
  let outcomes: readonly Outcome[];
  try {
    outcomes = await unless(signal, transport.send(texts, signal));
  } catch (thrown) {
    signal?.throwIfAborted();
    const error = asEmitError(thrown);
    return texts.map(() => ({ error }));
  }
  if (outcomes.length === texts.length) return outcomes;
  const error = new EmitError("function", `the transport gave ${outcomes.length} outcomes for ${texts.length} commands`);
  return texts.map(() => ({ error }));
}

/** Reads an outcome. A refusal may have data too: what the command got done. */
function read({ answer, error }: Outcome, answers: boolean): { data: Record<string, unknown>; error?: EmitError } {
  if (error) return { data: {}, error };
  if (answer === undefined && !answers) return { data: {} };
  if (!isObject(answer) || (answer.ok !== true && !isObject(answer.error))) {
    const said = String(JSON.stringify(answer)).slice(0, 200);
    return { data: {}, error: new EmitError("function", `the function answered what no emit function does: ${said}`) };
  }
  const data = isObject(answer.data) ? answer.data : {};
  if (answer.ok === true) return { data };
  const { code, message, retry, retryAfterMs } = answer.error as { code?: unknown; message?: unknown; retry?: unknown; retryAfterMs?: unknown };
  const later = typeof retryAfterMs === "number" ? { retryAfterMs } : {};
  return { data, error: new EmitError(String(code) as EmitErrorCode, String(message), { retry: retry === true, ...later }) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
