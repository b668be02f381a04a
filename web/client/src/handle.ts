import type { Abortable, Joined, Room, Unsubscribe } from "./api.js";
import { BellhopError } from "./error.js";
import { Listeners } from "./listeners.js";
import { newId } from "./requests.js";
import { Stream } from "./stream.js";
import { unless } from "./time.js";
import { taken, type Holder, type Line, type RoomEvents, type SharedRoom, type Wish } from "./room.js";
import type { Action } from "./transport.js";
import type { DataOf, HistoryResult, Occupant, Position, PresenceResult, PublishResult, RoomEvent } from "./types.js";

/** One caller's handle of a {@link SharedRoom}. */
export class Handle implements Room, Holder {
  #room: SharedRoom;
  #line: Pick<Line, "persist"> & { send(action: Action): boolean };
  #listeners = new Listeners<RoomEvents>();
  #left = false;
  #waiting = new Set<(reason: BellhopError) => void>(); // for something that can come no more once this handle is given back

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

  once<E extends string>(name: E, { signal }: Abortable = {}): Promise<RoomEvent<E>> {
    return this.#next(signal, (resolve) => this.on(name, resolve));
  }

  messages<E extends string = "message:new">({ event = "message:new" as E, signal }: { event?: E } & Abortable = {}): AsyncIterableIterator<RoomEvent<E>> {
    const stream = new Stream<RoomEvent<E>>(signal, () => {
      off();
      this.#waiting.delete(stream.end);
    });
    const off = this.on(event, stream.push);
    this.#waiting.add(stream.end);
    if (this.#left) stream.end();
    return stream;
  }

  ready({ signal }: Abortable = {}): Promise<Joined> {
    const { last } = this.#room;
    if (last && !this.#left) return unless(signal, Promise.resolve(last));
    return this.#next(signal, (resolve, reject) => {
      const failed = () => this.error && reject(this.error);
      const offs = [this.onJoined(resolve), this.onChange(failed)];
      failed();
      return () => offs.forEach((off) => off());
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

  publish<E extends string>(event: E, data: DataOf<E>, { id = newId(), signal }: { id?: string } & Abortable = {}): Promise<PublishResult> {
    return this.#call({ action: "publish", id, room: this.name, event, data }, signal);
  }

  signal(event: string, data?: unknown): boolean {
    return this.joined && this.#line.send({ action: "signal", room: this.name, event, ...(data !== undefined && { data }) });
  }

  presence(status: string, data?: unknown, { signal }: Abortable = {}): Promise<PresenceResult> {
    const wish: Wish = { status, ...(data !== undefined && { data }) };
    const set = this.#call<PresenceResult>({ action: "presence", room: this.name, ...wish }, signal);
    if (!this.#left) this.#room.wish = wish;
    return taken(wish, set);
  }

  history({ signal, ...options }: { before?: number; limit?: number } & Abortable = {}): Promise<HistoryResult> {
    return this.#call({ action: "history", room: this.name, ...options }, signal);
  }

  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#listeners.clear();
    this.#room.exit(this);
    this.end(this.#given());
  }

  [Symbol.dispose](): void {
    this.leave();
  }

  end(reason: BellhopError): void {
    for (const stop of [...this.#waiting]) stop(reason);
  }

  emit<E extends keyof RoomEvents>(name: E, value: RoomEvents[E]): void {
    if (!this.#left) this.#listeners.emit(name, value);
  }

  #call<T>(action: Action, signal: AbortSignal | undefined): Promise<T> {
    if (this.#left) return Promise.reject(this.#given());
    return this.#line.persist<T>(action, this.#room, signal);
  }

  /** Something that is to come, unless this handle is given back before. */
  #next<T>(signal: AbortSignal | undefined, listen: (resolve: (value: T) => void, reject: (reason: BellhopError) => void) => Unsubscribe): Promise<T> {
    let off: Unsubscribe = () => {};
    let stop: (reason: BellhopError) => void;
    const come = new Promise<T>((resolve, reject) => {
      stop = reject;
      if (this.#left) return reject(this.#given());
      off = listen(resolve, reject);
      this.#waiting.add(reject);
    });
    return unless(signal, come).finally(() => {
      off();
      this.#waiting.delete(stop);
    });
  }

  #given(): BellhopError {
    return new BellhopError("closed", `This handle of ${this.name} was given back.`);
  }
}
