import type { DataOf, SystemEvents } from "./types.js";

/**
 * What an application says of itself once, so that the client, the hooks and the emitter know its rooms and events:
 *
 *     declare module "@bellhop/client" {
 *       interface Register {
 *         rooms: {
 *           channel: {
 *             events: { "message:new": { content: string }; "poll:closed": { option: string } };
 *             signals: { cursor: { x: number; y: number } };
 *           };
 *           community: { presence: { mood: string } };
 *         };
 *         calls: { "poll:vote": { data: { option: string }; answer: { votes: number } } };
 *       }
 *     }
 *
 * Instead of a type there may be that of a Standard Schema (https://standardschema.dev), such as `typeof poll` of Zod or Valibot.
 * The kind `user` is there in any case, and so are the system's events; an event that is declared under the name of one of these
 * says what its data is here. Without a declaration any name and any data will do.
 */
export interface Register {}

type Declared = Register extends { rooms: object } ? true : false;
type Rooms = Register extends { rooms: infer R } ? R & (R extends { user: unknown } ? unknown : { user: object }) : never;
type Calls = Register extends { calls: infer C } ? C : object;

/** What a declared type stands for: itself, or what a Standard Schema gives. */
type Given<T> = T extends { readonly "~standard": { readonly types?: infer I } } ? (NonNullable<I> extends { readonly output: infer O } ? O : never) : T;

/** The kinds that are meant: all of them by a room whose name is not known. */
type Meant<K> = string extends K ? keyof Rooms : K & keyof Rooms;
type Names<K, F extends string> = K extends keyof Rooms ? (Rooms[K] extends { [P in F]: infer T } ? keyof T & string : never) : never;
type DataIn<K, F extends string, E> = K extends keyof Rooms
  ? Rooms[K] extends { [P in F]: infer T } ? (E extends keyof T ? Given<T[E]> : never) : never
  : never;

/** Names that are the server's and programs' alone. */
type Reserved = `${"user" | "presence" | "notification" | "buddy" | "room" | "session"}:${string}`;
/** What is right only as long as nothing is declared. */
export type Undeclared<T> = Declared extends true ? never : T;

/** A kind of room. */
export type RoomKind = Declared extends true ? keyof Rooms & string : string;
/** The name of a room, of some kind: "channel:42". */
export type RoomName<K extends RoomKind = RoomKind> = Declared extends true ? `${K}:${string}` : string;
/** The kind of a room's name. */
export type KindOf<N extends string> = Declared extends true ? (N extends `${infer K}:${string}` ? K : string) : string;

/** What clients may publish in a room of a kind. */
export type PublishName<K extends string = string> = Declared extends true
  ? Exclude<Names<Meant<K>, "events">, Reserved> | "message:new" | "message:deleted"
  : string;
/** What clients may signal in it. */
export type SignalName<K extends string = string> = Declared extends true ? Exclude<Names<Meant<K>, "signals">, Reserved> | "typing:start" | "typing:stop" : string;
/** What is heard in it. */
export type HeardName<K extends string = string> = Declared extends true ? Names<Meant<K>, "events"> | Names<Meant<K>, "signals"> | keyof SystemEvents : string;
/** What programs may emit. */
export type EmitName = HeardName;

/** The data of an event in rooms of a kind. */
export type EventData<K extends string, E extends string> = Declared extends true
  ? [DataIn<Meant<K>, "events", E> | DataIn<Meant<K>, "signals", E>] extends [never] ? DataOf<E> : DataIn<Meant<K>, "events", E> | DataIn<Meant<K>, "signals", E>
  : DataOf<E>;
/** What is signalled with a name: nothing needs to be, where nothing is declared. */
export type SignalData<K extends string, E extends string> = Declared extends true
  ? [DataIn<Meant<K>, "signals", E>] extends [never] ? [data?: undefined] : [data: DataIn<Meant<K>, "signals", E>]
  : [data?: unknown];
/** What users say of themselves beside their status. */
export type PresenceData<K extends string = string> = Declared extends true ? PresenceIn<Meant<K>> : unknown;
type PresenceIn<K> = K extends keyof Rooms ? (Rooms[K] extends { presence: infer P } ? Given<P> : undefined) : never;

/** The rooms that an event may be emitted to: those of the kinds that have it. */
export type RoomOf<E extends string> = Declared extends true ? (E extends keyof SystemEvents ? RoomName : KindsWith<keyof Rooms, E>) : string;
type KindsWith<K, E> = K extends keyof Rooms & string ? (E extends Names<K, "events"> | Names<K, "signals"> ? `${K}:${string}` : never) : never;

/** An action of the application's own. */
export type CallName = keyof Calls & string;
type CallPart<A extends CallName, P extends string> = Calls[A] extends { [F in P]: infer T } ? Given<T> : undefined;
/** What it is asked with. */
export type CallData<A extends CallName> = undefined extends CallPart<A, "data"> ? { data?: CallPart<A, "data"> } : { data: CallPart<A, "data"> };
/** What its hook answers. */
export type CallAnswer<A extends CallName> = CallPart<A, "answer">;
