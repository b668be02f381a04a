/**
 * The shapes of the wire protocol "bellhop.v1". The protocol itself is described in the comment of
 * `internal/protocol/protocol.go`; its golden frames are decoded by these types in the tests.
 */

/** A place in a room's log. */
export interface Position {
  epoch: string;
  seq: number;
}

/** Who an event comes from, as the server has authenticated it. */
export interface From {
  userId: string;
  name?: string;
}

/** One user who is present in a room, once however many connections that user has. */
export interface Occupant<D = unknown> {
  userId: string;
  name?: string;
  /** "online", "away", "busy" or any string of at most 32 bytes. */
  status: string;
  data?: D;
  /** Unix time in milliseconds of the user's arrival; with the user id it names this presence. */
  since: number;
  /** Counts the changes of this presence: of two, the higher is the newer. Events that a program made up have none. */
  version?: number;
}

export interface Message {
  content: string;
  [field: string]: unknown;
}

export interface Notification {
  type?: string;
  title?: string;
  body?: string;
  [field: string]: unknown;
}

export interface Goal {
  goalId?: string;
  title?: string;
  [field: string]: unknown;
}

export interface CheckIn {
  goalId?: string;
  note?: string;
  [field: string]: unknown;
}

/** The data of every event that the system defines, by name. `make docs` writes it. */
// table: events
export interface SystemEvents {
  "message:new": Message;
  "message:deleted": { messageId: string; seq?: number; userId?: string };
  "user:typing": { until: number };
  "user:stopped-typing": undefined;
  "user:online": Occupant;
  "user:offline": From;
  "presence:changed": Occupant;
  "notification:new": Notification;
  "notification:read": { notificationId: string };
  "buddy:goal-completed": Goal;
  "buddy:check-in": CheckIn;
  "room:closed": { reason: string };
  "room:skipped": undefined;
  "session:ending": { reason: string };
}
// end

/** The data of an event: of the system's as it is defined, of an application's own whatever its owner says it is. */
export type DataOf<E extends string> = E extends keyof SystemEvents ? SystemEvents[E] : unknown;

/** One event of a room. A logged one has `seq`, `id` and `ts` (Unix time in milliseconds); an ephemeral one has none. */
export interface RoomEvent<E extends string = string, D = DataOf<E>> {
  event: E;
  room: string;
  seq?: number;
  id?: string;
  ts?: number;
  from?: From;
  data: D;
}

/** An event that has its place in the log. */
export interface LoggedEvent<E extends string = string, D = DataOf<E>> extends RoomEvent<E, D> {
  seq: number;
  id: string;
  ts: number;
}

// table: codes
export type ErrorCode =
  | "bad_request"
  | "unauthenticated"
  | "forbidden"
  | "unknown_action"
  | "unknown_room_kind"
  | "not_in_room"
  | "too_many_rooms"
  | "rate_limited"
  | "too_large"
  | "expired"
  | "conflict"
  | "unavailable"
  | "internal";
// end

export interface JoinResult {
  room: string;
  epoch: string;
  seq: number;
  recovered: boolean;
  more?: boolean;
  events: LoggedEvent[];
  presence?: Occupant[];
  /** Others are present, too: ask for those after the last one. */
  presenceMore?: boolean;
  state?: unknown;
}

export interface PublishResult {
  room: string;
  epoch: string;
  seq: number;
  id: string;
  ts: number;
}

export interface HistoryResult {
  room: string;
  epoch: string;
  seq: number;
  /** Ascending by seq. */
  events: LoggedEvent[];
  /** There are older ones: ask again before the first of these. */
  more: boolean;
}

export interface PresenceResult {
  rooms: string[];
  status: string;
}

/** A page of who is present in a room, by user id. */
export interface PresentResult {
  room: string;
  presence: Occupant[];
  /** There are others: ask again after the last one. */
  more?: boolean;
}
