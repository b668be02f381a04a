import type { Client, ClientEvents, Room, Status, Unsubscribe } from "../api.js";
import { BellhopError } from "../index.js";
import type { RoomEvent } from "../types.js";
import { Store } from "./store.js";

/** The connection as {@link useSocket} gives it. */
export interface Socket {
  /** null on a server, before the first effect, and while nobody is logged in. */
  readonly socket: Client | null;
  readonly isConnected: boolean;
  readonly status: Status;
  /** Why the connection is not open, as far as it is known. */
  readonly error: ClientEvents["error"] | null;
  /** The subject of the token, once there is one. */
  readonly userId: string | null;
}

/** A room that a store has entered. */
export interface Entered {
  readonly room: Room;
  leave(): void;
}

/** How a session comes to its client. */
export interface SessionOptions {
  /** Opens a connection, or says that there is to be none. */
  open(): Client | null;
  /** The client is not the session's own: it stays open when the session ends. */
  foreign?: boolean;
}

type Handler = (event: RoomEvent) => void;

/**
 * What one provider shares with the hooks below it: the client, opened with the first listener and closed after the last;
 * one store for each thing that hooks watch, however many components do; and a tap on every room that one of them has
 * entered, for {@link useSocketEvent}.
 */
export class Session extends Store<Socket> {
  readonly #options: SessionOptions;
  #client: Client | null = null;
  #failure: BellhopError | null = null;
  #off: Unsubscribe[] = [];
  #taps = new Map<string, { room: Room; users: number }>();
  #own: { name: string; off: Unsubscribe } | null = null;
  readonly #stores = new Map<string, unknown>();
  readonly #handlers = new Map<string, Set<Handler>>();

  constructor(options: SessionOptions) {
    super({ socket: null, isConnected: false, status: "connecting", error: null, userId: null });
    this.#options = options;
  }

  /** The client, while the session runs. */
  get client(): Client | null {
    return this.#client;
  }

  /** The store by this key, made when it is first asked for. */
  shared<T>(key: string, make: () => T): T {
    const known = this.#stores.get(key) as T | undefined;
    if (known) return known;
    const made = make();
    this.#stores.set(key, made);
    return made;
  }

  /** Shares a store again that runs again. */
  remember(key: string, store: unknown): void {
    if (!this.#stores.has(key)) this.#stores.set(key, store);
  }

  /** Shares a store no longer. */
  forget(key: string, store: unknown): void {
    if (this.#stores.get(key) === store) this.#stores.delete(key);
  }

  /** Enters a room; null when there is no connection to be. */
  enter(name: string): Entered | null {
    if (!this.#client) return null;
    const untap = this.#tap(this.#client, name);
    const room = this.#client.join(name);
    return {
      room,
      leave: () => {
        room.leave();
        untap();
      },
    };
  }

  /** Hears an event of every room that was entered, of the user's own room, and of the connection itself. */
  listen(event: string, handler: Handler): Unsubscribe {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers.add(handler));
    const release = this.subscribe(() => {});
    this.#followUser();
    return () => {
      handlers.delete(handler);
      if (handlers.size === 0 && this.#handlers.get(event) === handlers) this.#handlers.delete(event);
      queueMicrotask(() => this.#followUser()); // whoever comes back at once need not enter the room again
      release();
    };
  }

  protected override start(): void {
    let client: Client | null = null;
    try {
      client = this.#options.open();
      this.#failure = null;
    } catch (err) { // whoever sets this up looks into the console, and at the state
      this.#failure = new BellhopError("bad_request", (err as Error).message, { cause: err });
      console.error(err);
    }
    this.#client = client;
    if (!client) return;
    const alone = (event: string) => (data: unknown) => this.#tell({ event, room: "", data });
    this.#off = [
      client.on("status", () => {
        this.#followUser();
        this.flush();
      }),
      client.on("error", () => this.flush()),
      client.on("error", alone("error")),
      client.on("dropped", alone("dropped")),
      client.on("session:ending", alone("session:ending")),
      client.on("event", (event) => event.event !== "session:ending" && this.#tell(event)),
    ];
    this.#followUser();
  }

  protected override stop(): void {
    for (const off of this.#off) off();
    this.#followUser();
    this.#taps = new Map(); // who is still to leave, leaves the old ones
    if (!this.#options.foreign) this.#client?.close();
    this.#client = null;
    this.flush();
  }

  protected override snapshot(): Socket {
    const socket = this.#client;
    if (!socket) return { socket, isConnected: false, status: this.running ? "closed" : "connecting", error: this.#failure, userId: null };
    const { status, error, userId } = socket;
    return { socket, isConnected: status === "open", status, error, userId };
  }

  #tap(client: Client, name: string): Unsubscribe {
    const taps = this.#taps;
    const tap = taps.get(name) ?? { room: client.join(name), users: 0 };
    if (tap.users++ === 0) {
      taps.set(name, tap);
      tap.room.onAny((event) => this.#tell(event));
    }
    let over = false;
    return () => {
      if (over || --tap.users > 0) return;
      over = true;
      if (taps.delete(name)) tap.room.leave();
    };
  }

  /** The user's own room is every connection's anyway: who listens to anything hears it too. */
  #followUser(): void {
    const id = this.running && this.#handlers.size > 0 ? this.#client?.userId : undefined;
    const name = id ? `user:${id}` : undefined;
    if (this.#own?.name === name) return;
    this.#own?.off();
    this.#own = this.#client && name ? { name, off: this.#tap(this.#client, name) } : null;
  }

  #tell(event: RoomEvent): void {
    for (const handler of [...(this.#handlers.get(event.event) ?? [])]) {
      try {
        handler(event);
      } catch (err) { // one bad handler does not keep the event from the others
        queueMicrotask(() => {
          throw err;
        });
      }
    }
  }
}
