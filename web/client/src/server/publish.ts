import type { EmitName, EventData, RoomOf } from "../register.js";
import { EmitError, badRequest, type TargetResult } from "./errors.js";
import { bytes } from "./transport.js";

// table: limits
const MAX_DATA = 129024; // bytes: what the server takes, so that the frame fits into the 128 KB of a connection
const MAX_TARGETS = 1000; // of one command
// end
const MAX_COMMAND = 200 * 1024; // bytes: leaves room in a message of SQS or an asynchronous invocation, 256 KB

/** The data of an event: required where the system's own events have some. */
type DataField<E extends string> = undefined extends EventData<string, E> ? { data?: EventData<string, E> } : { data: EventData<string, E> };

/** The id of a row, a channel or a user: databases have numbers, Bellhop texts. */
export type Id = string | number;

/** Who an event comes from, as an application's own rows and sessions have it; what else they have is not sent. */
export interface Author {
  userId: Id;
  name?: string | null | undefined;
}

/** Where an event goes, and how. There may be any number of rooms, users and connections, and at least one. */
export interface Delivery<R extends string = string> {
  /** Room names such as "channel:42". */
  rooms?: readonly R[];
  /** User ids: all connections of each, by the room "user:<id>". */
  users?: readonly string[];
  /** Connection ids; what is sent to them is never logged. */
  connections?: readonly string[];
  /**
   * Every user who has a connection open, in the place of the other targets: the event is logged in the room of each, so it costs what a
   * publish to all of them does.
   */
  all?: boolean;
  /** Makes the event unique in each room; at most 128 visible characters. Without one it is made, except for ephemeral events. */
  id?: string;
  /** Not logged and not replayed, for events that soon mean nothing. */
  ephemeral?: boolean;
  /** Connection ids and user ids that do not get it. */
  except?: readonly string[];
  /** Whom the event comes from; the program is trusted with it. */
  from?: Author;
}

/** One event and where it goes. */
export type Publish<E extends string = EmitName> = Delivery<RoomOf<E>> & {
  /** Its name, at most 64 bytes, such as "message:new". */
  event: E;
} & DataField<E>;

/** A publish whose data is not checked by types. */
export type LoosePublish = Delivery & { event: string; data?: unknown };

/** What became of a publish. */
export interface Published {
  /** Its own id or the one that was made; undefined for an ephemeral event that had none. */
  id: string | undefined;
  /** One for each target: rooms and users (as their rooms), and connections. Empty over a transport without answers. Of what goes to all it has those that failed. */
  results: readonly TargetResult[];
  /** For how many users an event was logged that goes to all, or to how many connections an ephemeral one went. */
  reached?: number;
}

type Target = ["rooms" | "users" | "connections", string];

/** Checks a publish and gives the commands that it takes. */
export function commands(publish: LoosePublish): string[] {
  const { event, data, id, ephemeral, all, except, from } = publish;
  if (!event) throw badRequest("a publish needs an event name");
  const targets = targetsOf(publish);
  if ((targets.length === 0) !== !!all) throw badRequest("a publish needs a target: rooms, users or connections, or all without any of these");
  if (targets.some(([, name]) => typeof name !== "string" || name === "")) throw badRequest("a target of a publish is empty");
  const size = bytes(write(data, `the data of ${event}`) ?? "");
  if (size > MAX_DATA) {
    throw new EmitError("too_large", `the data of ${event} has ${size} bytes as JSON, at most ${MAX_DATA} can be delivered`);
  }
  const rest = {
    event, data, id,
    ephemeral: ephemeral || undefined,
    except: except?.length ? except : undefined,
    from: from && { userId: String(from.userId), name: from.name ?? undefined }, // rows have more fields, which are nobody's business
  };
  return all ? [JSON.stringify({ command: "publish", all, ...rest })] : split(rest, targets);
}

function targetsOf({ rooms = [], users = [], connections = [] }: Delivery): Target[] {
  return [
    ...rooms.map((name): Target => ["rooms", name]),
    ...users.map((name): Target => ["users", name]),
    ...connections.map((name): Target => ["connections", name]),
  ];
}

/** Spreads targets over as few commands as the limits allow. */
function split(rest: { event: string }, targets: readonly Target[]): string[] {
  const room = MAX_COMMAND - bytes(write({ command: "publish", rooms: [], users: [], connections: [], ...rest }, "the publish")!);
  const out: string[] = [];
  for (let at = 0; at < targets.length; ) {
    const n = fit(targets, at, room);
    if (n === 0) {
      const { event } = rest;
      throw new EmitError("too_large", `a publish of ${event} to one target has more than ${MAX_COMMAND} bytes: shorten data or except`);
    }
    const names: Partial<Record<Target[0], string[]>> = {};
    for (const [kind, name] of targets.slice(at, at + n)) (names[kind] ??= []).push(name);
    out.push(JSON.stringify({ command: "publish", ...names, ...rest }));
    at += n;
  }
  return out;
}

/** Counts the targets, from one on, that a command holds in so many bytes. */
function fit(targets: readonly Target[], from: number, left: number): number {
  let n = 0;
  for (; n < MAX_TARGETS && from + n < targets.length; n++) {
    left -= bytes(JSON.stringify(targets[from + n]![1])) + 1;
    if (left < 0) break;
  }
  return n;
}

/** JSON.stringify whose errors are this package's; undefined for what JSON has no text for. */
export function write(value: unknown, what: string): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new EmitError("bad_request", `${what} cannot be written as JSON: ${said}`, { cause });
  }
}
