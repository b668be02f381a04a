import type { ClientEvents } from "./api.js";
import { BellhopError, mayWorkLater } from "./error.js";
import { newId, type Ask } from "./requests.js";
import { jitter, onAbort } from "./time.js";
import { encode, type Action } from "./transport.js";

/** A room as far as calls in it need to know it. */
export interface Place {
  readonly name: string;
  readonly joined: boolean;
  /** Why it cannot be joined. */
  readonly error: BellhopError | null;
  /** The server says that this connection is no member. */
  expelled(): void;
}

/** What calls need of their client. */
export interface Line {
  readonly open: boolean;
  /** Sends an action once and resolves to the data of its reply. */
  ask<T>(ask: Ask): Promise<T | null>;
  dropped(what: ClientEvents["dropped"]): void;
}

interface Call {
  action: Action & { id: string };
  room: Place | null;
  state: "waiting" | "asked" | "pausing";
  tries: number;
  resolve(data: never): void;
  reject(err: unknown): void;
  deadline: ReturnType<typeof setTimeout>;
  pause?: ReturnType<typeof setTimeout>;
  off(): void;
}

/**
 * Everything that is sent until it is answered, in the order in which it was called: when the connection is open and the
 * room joined, and again, under the same id, after whatever may be over later. The publishes of one room go out one after
 * the other, so that the room has them in this order. While there is no connection, so many publishes and so many other
 * calls may wait; one more takes the place of the oldest.
 */
export class Calls {
  #line: Line;
  #time: number;
  #limit: number;
  #calls = new Set<Call>(); // oldest first
  #over: BellhopError | null = null;

  /** @param time how long a call is tried, in milliseconds @param limit how many of each kind may wait for a connection */
  constructor(line: Line, time: number, limit: number) {
    this.#line = line;
    this.#time = time;
    this.#limit = limit;
  }

  add<T>(action: Action, room: Place | null, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.#over) return reject(this.#over);
      encode(action); // too large is said at once
      const deadline = setTimeout(() => this.#settle(call, () => reject(this.#tooLate(action.action))), this.#time);
      const off = onAbort(signal, () => this.#settle(call, () => reject(signal!.reason)));
      const call: Call = { action: { ...action, id: action.id ?? newId() }, room, state: "waiting", tries: 0, resolve, reject, deadline, off };
      this.#calls.add(call);
      this.#dropOldest(call);
      this.run();
    });
  }

  /** Something waits for the room. */
  waitFor(name: string): boolean {
    return [...this.#calls].some(({ room }) => room?.name === name);
  }

  /** Sends what can be sent now. */
  run(): void {
    if (!this.#line.open) return;
    const taken = new Set<Place>(); // rooms whose next publish is found
    for (const call of [...this.#calls]) {
      const { room, state } = call;
      if (state === "waiting" && room?.error) {
        if (this.#remove(call)) call.reject(room.error);
        continue;
      }
      if (room && isPublish(call)) {
        if (taken.has(room)) continue;
        taken.add(room);
      }
      if (state === "waiting" && (!room || room.joined)) void this.#ask(call);
    }
  }

  /** Fails all calls, or those of one room. */
  fail(reason: BellhopError, room?: Place): void {
    for (const call of [...this.#calls]) if ((!room || call.room === room) && this.#remove(call)) call.reject(reason);
  }

  /** Fails all calls, and those that are to come. */
  end(reason: BellhopError): void {
    this.#over = reason;
    this.fail(reason);
  }

  async #ask(call: Call): Promise<void> {
    call.state = "asked";
    try {
      const data = await this.#line.ask<never>(() => (this.#calls.has(call) ? call.action : null));
      this.#settle(call, () => call.resolve(data as never));
    } catch (err) {
      if (!this.#calls.has(call)) return;
      if (mayWorkLater(err)) this.#again(call, err);
      else if (err instanceof BellhopError && err.code === "not_in_room" && call.room && !call.room.error) this.#again(call, err);
      else this.#settle(call, () => call.reject(err));
    }
  }

  /** It waits for what it waited for the first time, and before that for a moment, if that may help. */
  #again(call: Call, { code, retryAfterMs }: BellhopError): void {
    if (code === "not_in_room") call.room!.expelled();
    const once = code === "not_in_room" && call.tries === 0;
    const pause = code === "disconnected" || once ? 0 : (retryAfterMs ?? jitter(call.tries, 250, 5_000));
    call.tries++;
    call.state = pause > 0 ? "pausing" : "waiting";
    if (pause === 0) return this.run();
    call.pause = setTimeout(() => {
      call.state = "waiting";
      this.run();
    }, pause);
  }

  #settle(call: Call, how: () => void): void {
    if (!this.#remove(call)) return;
    how();
    this.run(); // the next publish of the room
  }

  #remove(call: Call): boolean {
    clearTimeout(call.deadline);
    clearTimeout(call.pause);
    call.off();
    return this.#calls.delete(call);
  }

  #dropOldest(added: Call): void {
    if (this.#line.open) return;
    const alike = [...this.#calls].filter((call) => isPublish(call) === isPublish(added));
    const [oldest] = alike;
    if (alike.length <= this.#limit || !oldest || !this.#remove(oldest)) return;
    const { action: { action, event, id }, room } = oldest;
    const what = isPublish(oldest) ? `${String(event)} in ${room!.name}` : action;
    oldest.reject(new BellhopError("dropped", `Too much waits for the connection: ${what} was dropped.`, { retry: true }));
    if (isPublish(oldest)) this.#line.dropped({ room: room!.name, event: String(event), id });
  }

  #tooLate(action: string): BellhopError {
    return new BellhopError("timeout", `${action} was tried for ${this.#time / 1000} s and not answered; it is not known whether it was done.`, { retry: true });
  }
}

const isPublish = ({ action }: Call) => action.action === "publish";
