import { BellhopError } from "../index.js";
import type { ClientEvents, Joined, Room, Unsubscribe } from "../api.js";
import type { RoomEvent } from "../types.js";
import type { Entered, Session } from "./session.js";
import { Store } from "./store.js";

/** An error with one of the protocol's codes, or one of the client's own. */
export type SocketError = ClientEvents["error"];

/** Marks a failure as one that is shown in a state already, so that a caller may leave the promise alone. */
export function shown<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/**
 * A store that is in a room while it runs. Without a session it is idle: it stands for hooks that were called without an
 * id, and for servers.
 */
export abstract class RoomStore<S extends object> extends Store<S> {
  /** By which the session shares it. */
  readonly #key: string;
  #entered: Entered | null = null;
  #off: Unsubscribe[] = [];
  #failure: SocketError | null = null;
  #joined = false;

  constructor(
    protected readonly session: Session | null,
    readonly name: string,
    key: string,
    initial: S,
  ) {
    super(initial);
    this.#key = key;
  }

  /** Hears every event of the room. */
  protected hear(_event: RoomEvent): void {}

  /** Hears the end of each join. */
  protected joined(_joined: Joined): void {}

  /** Resolves when the room may be left: what was begun in it has come to an end. */
  protected async settled(): Promise<void> {}

  /** The store holds what nobody else does, and is to be kept for those who come back. */
  protected get precious(): boolean {
    return false;
  }

  /** null when the store does not run, and when there is no connection to be. */
  protected get room(): Room | null {
    return this.#entered?.room ?? null;
  }

  protected get isConnected(): boolean {
    return this.room?.joined ?? false;
  }

  /** Why the room cannot be joined, or what has failed last. */
  protected get failure(): SocketError | null {
    return this.room?.error ?? this.#failure;
  }

  /** The same, or why there was no connection so far. One that was lost comes back, and is no error. */
  protected get error(): SocketError | null {
    return this.failure ?? (this.session && this.running && !this.#joined ? this.session.getSnapshot().error : null);
  }

  protected fail(error: unknown): void {
    this.#failure = error as SocketError;
    this.changed();
  }

  /** What had failed works again. */
  protected succeed(): void {
    this.#failure = null;
    this.changed();
  }

  /** Runs an action in the room. A failure is shown as `error` until something works. */
  protected act<T>(action: (room: Room) => Promise<T>): Promise<T> {
    const room = this.room;
    if (!room) return shown(Promise.reject(new BellhopError("disconnected", "There is no connection to do this on.")));
    return shown(
      action(room).then(
        (done) => {
          this.succeed();
          return done;
        },
        (err) => {
          this.fail(err);
          throw err;
        },
      ),
    );
  }

  protected override start(): void {
    if (!this.session) return;
    const release = this.session.subscribe(() => this.changed());
    this.session.remember(this.#key, this);
    this.#entered = this.session.enter(this.name);
    const room = this.room;
    this.#off = [release];
    if (!room) return;
    this.#off.push(
      room.onAny((event) => this.hear(event)),
      room.onJoined((joined) => {
        this.#joined = true;
        this.joined(joined);
        this.changed();
      }),
      room.onChange(() => this.changed()),
    );
  }

  protected override stop(): void {
    for (const off of this.#off) off();
    this.#off = [];
    const entered = this.#entered;
    this.#entered = null;
    void this.settled().then(() => {
      entered?.leave();
      if (!this.running && !this.precious) this.session?.forget(this.#key, this);
    });
    this.flush();
  }
}

/** A room as {@link useRoom} gives it. */
export interface RoomState<K extends string = any> {
  /** The handle to publish and signal with; null while there is none. */
  readonly room: Room<K> | null;
  /** The server takes actions in it. */
  readonly isConnected: boolean;
  /** Why the room cannot be joined. */
  readonly error: SocketError | null;
}

/** Any room, for events of an application's own. */
export class PlainStore extends RoomStore<RoomState> {
  static readonly key = (name: string): string => `room ${name}`;

  constructor(session: Session | null, name: string) {
    super(session, name, PlainStore.key(name), { room: null, isConnected: false, error: null });
  }

  protected override snapshot(): RoomState {
    return { room: this.room, isConnected: this.isConnected, error: this.error };
  }
}
