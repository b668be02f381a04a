import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { HistoryResult, JoinResult, Occupant, PresenceResult, PresentResult, PublishResult } from "../../src/types.js";

// The frames that the server's own tests hold its codec to.
const frames = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../../internal/protocol/testdata/${name}.json`, import.meta.url), "utf8")) as { name: string; frame: Record<string, unknown> }[];
const server = new Map(frames("server").map(({ name, frame }) => [name, frame]));

/** What each type says its values have: the name of a type, or those that it may be one of. "?" ends what may be missing. */
type Shape = Record<string, string>;

function fits(value: unknown, shape: Shape, what: string): void {
  const object = value as Record<string, unknown>;
  for (const key of Object.keys(object)) expect(Object.keys(shape).map((k) => k.replace("?", "")), `${what}: field ${key}`).toContain(key);
  for (const [key, type] of Object.entries(shape)) {
    const field = object[key.replace("?", "")];
    if (field === undefined && key.endsWith("?")) continue;
    if (type !== "any") expect(Array.isArray(field) ? "array" : typeof field, `${what}: ${key}`).toBe(type);
  }
}

// `satisfies` ties each shape to its type: a field that is renamed in one of them does not compile.
type Fields<T> = { [K in keyof Required<T> as T extends Record<K, T[K]> ? K & string : `${K & string}?`]: string };
const join = { room: "string", epoch: "string", seq: "number", recovered: "boolean", "more?": "boolean", events: "array", "presence?": "array", "presenceMore?": "boolean", "state?": "any" } satisfies Fields<JoinResult>;
const publish = { room: "string", epoch: "string", seq: "number", id: "string", ts: "number" } satisfies Fields<PublishResult>;
const history = { room: "string", epoch: "string", seq: "number", events: "array", more: "boolean" } satisfies Fields<HistoryResult>;
const presence = { rooms: "array", status: "string" } satisfies Fields<PresenceResult>;
const present = { room: "string", presence: "array", "more?": "boolean" } satisfies Fields<PresentResult>;
const occupant = { userId: "string", "name?": "string", status: "string", "data?": "any", since: "number", "version?": "number" } satisfies Fields<Occupant>;
const event: Shape = { event: "string", "room?": "string", "seq?": "number", "id?": "string", "ts?": "number", "from?": "object", "data?": "any" };

test("replies are what the types say", () => {
  for (const [name, shape] of Object.entries({ joined: join, "joined with presence": join, "joined, and others are present": join, "joined, and there is more": join, "who is present": present, published: publish, history, "status set": presence })) {
    const frame = server.get(name)!;
    expect(frame.ok, name).toBe(true);
    fits(frame.data, shape, name);
  }
  for (const one of (server.get("joined with presence")!.data as JoinResult).presence!) fits(one, occupant, "occupant");
  for (const one of (server.get("joined")!.data as JoinResult).events) fits(one, event, "event");
});

test("events are what the types say", () => {
  const events = [...server].filter(([, frame]) => "event" in frame);
  expect(events.length).toBeGreaterThan(10);
  for (const [name, frame] of events) fits(frame, event, name); // their data is held against the types in web/asyncapi
});
