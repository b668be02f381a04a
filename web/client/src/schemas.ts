/** An application's schemas at work: what it sends is checked before, and what comes in before anybody hears of it. */
import { BellhopError } from "./error.js";
import type { Action, Frame, OpenTransport, Refusal } from "./transport.js";
import type { RoomEvent } from "./types.js";
import { WebSocketTransport } from "./websocket.js";

/** What is wrong with a value, and where in it. */
export interface Issue {
  readonly message: string;
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined;
}

/** What is needed of a Standard Schema (https://standardschema.dev): one that answers at once. */
export interface Schema {
  readonly "~standard": { validate(value: unknown): SchemaResult | Promise<SchemaResult> };
}
type SchemaResult = { readonly value: unknown; readonly issues?: undefined } | { readonly issues: ReadonlyArray<Issue> };

/** Schemas by kind of room and name, and those of calls, as {@link Register} has their types. Names that are not here are not checked. */
export interface Schemas {
  rooms?: { readonly [kind: string]: { readonly events?: Table<Schema>; readonly signals?: Table<Schema> } };
  calls?: Table<{ readonly data?: Schema; readonly answer?: Schema }>;
}
type Table<T> = { readonly [name: string]: T };

/** What does not fit its schema. */
export class SchemaError extends BellhopError {
  readonly issues: readonly Issue[];

  constructor(what: string, issues: readonly Issue[]) {
    const said = issues.map(({ message, path = [] }) => [path.map((at) => String(typeof at === "object" ? at.key : at)).join("."), message].filter(Boolean).join(": "));
    super("bad_request", `${what} does not fit its schema: ${said.join("; ")}`, { cause: issues });
    this.issues = issues;
  }
}

export interface CheckedOptions {
  /** What the protocol goes over: a WebSocket, or `socketIO(…)`. */
  over?: OpenTransport;
  /** Hears of events that came and do not fit: nobody else does. It is written to `console.warn`. */
  refused?: (error: SchemaError, event: RoomEvent) => void;
}

/**
 * A transport, for the option `transport` of `connect` or of a provider, that holds events, signals and calls to their schemas. What
 * a client sends goes out as it was given, if it fits; otherwise the call fails with a {@link SchemaError}. What comes in is what the
 * schema makes of it. An event that does not fit is passed over: it has its place in the log, and nobody hears it.
 *
 * ```ts
 * const rooms = { channel: { events: { "poll:opened": poll } } };
 * declare module "@bellhop/client" { interface Register { rooms: typeof rooms } }
 * const client = connect(url, { token, transport: checked({ rooms }) });
 * ```
 */
export function checked(schemas: Schemas, { over = (...how) => new WebSocketTransport(...how), refused = warn }: CheckedOptions = {}): OpenTransport {
  return (url, options, events) => {
    const asked = new Map<string, Action>(); // by id, until they are answered

    const hear = (event: RoomEvent): RoomEvent => {
      const schema = schemaOf(schemas, event.room, event.event);
      if (!schema) return event;
      try {
        return { ...event, data: fit(`${event.event} in ${event.room}`, schema, event.data) };
      } catch (err) {
        if (!(err instanceof SchemaError)) throw err;
        refused(err, event);
        return { ...event, event: "room:skipped", data: undefined };
      }
    };

    const answer = (frame: Frame, { action }: Action): Frame => {
      const data = frame.data as { events?: RoomEvent[]; rooms?: { events?: RoomEvent[] }[] } | undefined;
      if (action === "history") return { ...frame, data: { ...data, events: data!.events!.map(hear).filter(({ event }) => event !== "room:skipped") } };
      if (action === "join") {
        const one = <T extends { events?: RoomEvent[] }>(joined: T): T => (joined.events ? { ...joined, events: joined.events.map(hear) } : joined);
        return { ...frame, data: data!.rooms ? { ...data, rooms: data!.rooms.map(one) } : one(data!) };
      }
      const schema = own(schemas.calls, action)?.answer;
      try {
        return schema ? { ...frame, data: fit(`The answer to ${action}`, schema, frame.data) } : frame;
      } catch (err) {
        if (!(err instanceof SchemaError)) throw err;
        return { reply: frame.reply!, ok: false, error: { code: err.code as Refusal["code"], message: err.message, retry: false } };
      }
    };

    const receive = (frame: Frame): Frame => {
      if (frame.batch) return { ...frame, batch: frame.batch.map(receive) };
      if (frame.event && frame.room) return hear(frame as unknown as RoomEvent) as unknown as Frame;
      const action = typeof frame.reply === "string" ? asked.get(frame.reply) : undefined;
      if (!action) return frame;
      asked.delete(frame.reply!);
      return frame.ok ? answer(frame, action) : frame;
    };

    const transport = over(url, options, {
      token: () => events.token(),
      connecting: () => events.connecting(),
      open: () => events.open(),
      receive: (frame) => events.receive(receive(frame)),
      lost: (reason) => {
        asked.clear();
        events.lost(reason);
      },
    });
    return {
      get open() {
        return transport.open;
      },
      get probe() {
        return transport.probe;
      },
      send(action) {
        const { room, event, data } = action as Action & { room?: string; event?: string };
        const said = action.action === "publish" || action.action === "signal";
        const schema = said ? schemaOf(schemas, room!, event!) : own(schemas.calls, action.action)?.data;
        if (schema) fit(said ? `${event} in ${room}` : action.action, schema, data);
        const sent = transport.send(action);
        if (sent && action.id !== undefined) asked.set(action.id, action);
        return sent;
      },
      good: () => transport.good(),
      reconnect: (reason) => transport.reconnect(reason),
      close: () => transport.close(),
    };
  };
}

/** What a schema makes of a value. */
function fit(what: string, schema: Schema, value: unknown): unknown {
  const result = schema["~standard"].validate(value);
  if (result instanceof Promise) throw new TypeError(`${what}: a schema must answer at once, and this one gives a promise.`);
  if (result.issues) throw new SchemaError(what, result.issues);
  return result.value;
}

function schemaOf({ rooms }: Schemas, room: string, event: string): Schema | undefined {
  const kind = own(rooms, room.split(":", 1)[0]!);
  return own(kind?.events, event) ?? own(kind?.signals, event);
}

/** What a table itself has by a name that came from elsewhere. */
function own<T>(table: Table<T> | undefined, name: string): T | undefined {
  return table && Object.hasOwn(table, name) ? table[name] : undefined;
}

function warn(error: SchemaError): void {
  console.warn(`Bellhop: ${error.message}`);
}
