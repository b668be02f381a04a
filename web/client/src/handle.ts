import type { Joined, Room, Unsubscribe } from "./api.js";
import { BellhopError } from "./error.js";
import { Listeners } from "./listeners.js";
import { newId } from "./requests.js";
import { taken, type Holder, type Line, type RoomEvents, type SharedRoom, type Wish } from "./room.js";
import type { Action } from "./transport.js";
import type { DataOf, HistoryResult, Occupant, Position, PresenceResult, PublishResult, RoomEvent } from "./types.js";

/** One caller's handle of a {@link SharedRoom}. */
export class Handle implements Room, Holder {
  #room: SharedRoom;
  #line: Pick<Line, "persist"> & { send(action: Action): boolean };
  #listeners = new Listeners<RoomEvents>();
  #left = false;

  constructor(line: Pick<Line, "persist"> & { send(action: Action): boolean }, room: SharedRoom) {
    this.#line = line;
    this.#room = room;
  }

  get name(): string {
    return this.#room.name;
  }

  get joined(): boolean {
    return !this.#left && this.#room.joined;
  }

  get position(): Position | null {
    return this.#room.position;
  }

  get present(): ReadonlyMap<string, Occupant> {
    return this.#room.presence.users;
  }

  get error(): BellhopError | null {
    return this.#room.error;
  }

  on<E extends string>(name: E, handler: (event: RoomEvent<E>) => void): Unsubscribe {
    return this.onAny((event) => {
      if (event.event === name) handler(event as RoomEvent<E>);
    });
  }

  onAny(handler: (event: RoomEvent) => void): Unsubscribe {
    return this.#listeners.on("event", handler);
  }

  onJoined(handler: (joined: Joined) => void): Unsubscribe {
    return this.#listeners.on("joined", handler);
  }

  onChange(handler: () => void): Unsubscribe {
    return this.#listeners.on("change", handler);
  }

  publish<E extends string>(event: E, data: DataOf<E>, options: { id?: string } = {}): Promise<PublishResult> {
    return this.#call({ action: "publish", id: options.id ?? newId(), room: this.name, event, data });
  }

  signal(event: string, data?: unknown): boolean {
    return this.joined && this.#line.send({ action: "signal", room: this.name, event, ...(data !== undefined && { data }) });
  }

  presence(status: string, data?: unknown): Promise<PresenceResult> {
    const wish: Wish = { status, ...(data !== undefined && { data }) };
    const set = this.#call<PresenceResult>({ action: "presence", room: this.name, ...wish });
    if (!this.#left) this.#room.wish = wish;
    return taken(wish, set);
  }

  history(options: { before?: number; limit?: number } = {}): Promise<HistoryResult> {
    return this.#call({ action: "history", room: this.name, ...options });
  }

  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#listeners.clear();
    this.#room.exit(this);
  }

  emit<E extends keyof RoomEvents>(name: E, value: RoomEvents[E]): void {
    if (!this.#left) this.#listeners.emit(name, value);
  }

  #call<T>(action: Action): Promise<T> {
    if (this.#left) return Promise.reject(new BellhopError("closed", `This handle of ${this.name} was given back.`));
    return this.#line.persist<T>(action, this.#room);
  }
}
