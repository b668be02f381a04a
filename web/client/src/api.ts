/// <reference lib="esnext.disposable" preserve="true" />
/** What `connect` gives: a client, and the rooms of one. */

import type { LocalErrorCode } from "./error.js";
import type {
  CallAnswer, CallData, CallName, EventData, HeardName, KindOf, PresenceData, PublishName, RoomName, SignalData, SignalName, Undeclared,
} from "./register.js";
import type { ErrorCode, HistoryResult, Occupant, Position, PresenceResult, PublishResult, RoomEvent } from "./types.js";

/** "connecting" also between two attempts; "closed" only after `close()` or an error that no other attempt can mend. */
export type Status = "connecting" | "open" | "closed";

export type Unsubscribe = () => void;

/** How a join, the first or one after a reconnect, has ended. */
export interface Joined {
  /** No event is missing since the last one that listeners have seen. Always false for the first join without `since`. */
  recovered: boolean;
  /** The first join of this room since it was entered. */
  first: boolean;
  /** How many missed events were handed to the listeners before this. */
  missed: number;
  position: Position;
  /** What the application's join hook handed over; undefined without one. */
  state?: unknown;
}

export interface ClientEvents {
  status: Status;
  /** A refusal that answers no call of this client's, or a failed attempt to connect. */
  error: Error & { code: ErrorCode | LocalErrorCode; retry: boolean; retryAfterMs?: number | undefined };
  /** Sent by the server just before it closes the connection: "expired", or why this user was disconnected. */
  "session:ending": { reason: string };
  /** A publish that could not wait any longer for a connection. */
  dropped: { room: string; event: string; id: string };
  /** An event that came to the connection alone, outside of any room. */
  event: RoomEvent;
}

/** Gives something up: the promise is rejected with the reason of the signal, and what was not sent by then is not sent. */
export interface Abortable {
  signal?: AbortSignal | undefined;
}

/**
 * One connection that reopens by itself. Everything that was joined is joined again after a reconnect, from the position
 * that was reached.
 */
export interface Client extends Disposable {
  readonly status: Status;
  /** Why the connection is not open, as far as it is known; null when it is. */
  readonly error: ClientEvents["error"] | null;
  /** The subject of the token, once there is one. */
  readonly userId: string | null;
  on<E extends keyof ClientEvents>(event: E, handler: (value: ClientEvents[E]) => void): Unsubscribe;
  /**
   * Enters a room, and gives a handle of its own to each caller. The room is left when the last handle is. With `since`
   * the first join is a resume from a position that the application has kept.
   */
  join<N extends RoomName>(room: N, options?: { since?: Position }): Room<KindOf<N>>;
  /** Sets the user's status in every presence room that the connection is in, now and after each reconnect. */
  presence(status: string, data?: PresenceData, options?: Abortable): Promise<PresenceResult>;
  /** Logs in the user's own room that a notification was read. */
  readNotification(id: string, options?: Abortable): Promise<PublishResult>;
  /**
   * Asks for an action of the application's own, and resolves to what its hook answers. Without `id` it is sent once, and
   * fails where the connection is lost meanwhile. With one it waits for a connection, and is sent again under that id until
   * it is answered: then the hook must take the same id as the same request.
   */
  call<A extends CallName>(action: A, options: { room?: RoomName; id?: string } & CallData<A> & Abortable): Promise<CallAnswer<A>>;
  /** The same, where nothing is declared. */
  call<T = unknown>(action: Undeclared<string>, options?: { room?: string; data?: unknown; id?: string } & Abortable): Promise<T>;
  /** Opens the connection again now if it is not open, and otherwise makes sure that it is. */
  reconnect(): void;
  /** Ends the connection for good, and fails everything that waits. */
  close(): void;
}

/**
 * One caller's handle of a room, of the kind K. Disposed of, it is given back. K is `any` where it is of no matter: a room of one kind
 * can be given to whoever takes any, which is never so of a method's parameters otherwise.
 */
export interface Room<K extends string = any> extends Disposable {
  readonly name: string;
  /** The server has answered the join on the present connection. */
  readonly joined: boolean;
  /** The last logged event that listeners have seen. */
  readonly position: Position | null;
  /** Who is present, by user id; a new map after each change. Empty in rooms without presence. */
  readonly present: ReadonlyMap<string, Occupant<PresenceData<K>>>;
  /** Why the last join was refused; null when it was not. */
  readonly error: ClientEvents["error"] | null;
  /** Hears each logged event once and in the order of seq, and ephemeral events as they come. */
  on<E extends HeardName<K>>(event: E, handler: (event: RoomEvent<E, EventData<K, E>>) => void): Unsubscribe;
  /** Resolves to the next event of a name. It is rejected if the room is left before. */
  once<E extends HeardName<K>>(event: E, options?: Abortable): Promise<RoomEvent<E, EventData<K, E>>>;
  /**
   * Every message from now on, or every event of another name, in the order of seq, until the room is left: then it ends. One that
   * is given up by `break` or by the signal hears nothing more. Of those that nobody takes 1,000 wait; then it throws "dropped".
   */
  messages<E extends HeardName<K> = "message:new" & HeardName<K>>(options?: { event?: E } & Abortable): AsyncIterableIterator<RoomEvent<E, EventData<K, E>>>;
  onAny(handler: (event: RoomEvent) => void): Unsubscribe;
  /** Hears the end of each join. A handle that is taken when the room is joined already hears of that at once, in a microtask. */
  onJoined(handler: (joined: Joined) => void): Unsubscribe;
  /** Resolves when the server has answered the join. It is rejected if that is refused, or the room left. */
  ready(options?: Abortable): Promise<Joined>;
  /** Hears that `present`, `joined` or `error` has changed. */
  onChange(handler: () => void): Unsubscribe;
  /**
   * Resolves when the event is logged. It waits for a connection, and is sent again under the same id until it is
   * answered, so that it is logged once.
   */
  publish<E extends PublishName<K>>(event: E, data: EventData<K, E>, options?: { id?: string } & Abortable): Promise<PublishResult>;
  /** Sends an ephemeral event, or nothing when there is no connection. It says whether it was sent. */
  signal<E extends SignalName<K>>(event: E, ...data: SignalData<K, E>): boolean;
  /** Sets the user's status in this room, now and after each reconnect. */
  presence(status: string, data?: PresenceData<K>, options?: Abortable): Promise<PresenceResult>;
  history(options?: { before?: number; limit?: number } & Abortable): Promise<HistoryResult>;
  /** Gives this handle back. Its listeners hear nothing more. */
  leave(): void;
}
