import type { ClientEvents } from "./api.js";
import { BellhopError, mayWorkLater } from "./error.js";
import { newId } from "./requests.js";
import { jitter } from "./time.js";
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
  ask<T>(action: Action): Promise<T>;
  dropped(what: ClientEvents["dropped"]): void;
}

interface Call {
  action: Action & { id: string };
  room: Place | null;
  state: "waiting" | "sent" | "pausing";
  tries: number;
  resolve(data: never): void;
  reject(err: unknown): void;
  deadline: ReturnType<typeof setTimeout>;
  pause?: ReturnType<typeof setTimeout>;
}

/**
 * Everything that is sent until it is answered, in the order in which it was called: when the connection is open and the
 * room joined, and again, under the same id, after whatever may be over later. The publishes of one room go out one after
 * the other, so that the room has them in this order.
 */
export class Calls {
  #line: Line;
  #time: number;
  #limit: number;
  #calls: Call[] = []; // oldest first
  #over: BellhopError | null = null;

  /** @param time how long a call is tried, in milliseconds @param limit how many publishes may wait for a connection */
  constructor(line: Line, time: number, limit: number) {
    this.#line = line;
    this.#time = time;
    this.#limit = limit;
  }

  add<T>(action: Action, room: Place | null): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#over) return reject(this.#over);
      encode(action); // too large is said at once
      const deadline = setTimeout(() => this.#settle(call, () => reject(this.#tooLate(action.action))), this.#time);
      const call: Call = { action: { ...action, id: action.id ?? newId() }, room, state: "waiting", tries: 0, resolve, reject, deadline };
      this.#calls.push(call);
      this.#dropOldest();
      this.run();
    });
  }

  /** Sends what can be sent now. */
  run(): void {
    const taken = new Set<Place>(); // rooms whose next publish is found
    for (const call of [...this.#calls]) {
      const { room } = call;
      if (room?.error && call.state === "waiting" && this.#line.open) {
        if (this.#remove(call)) call.reject(room.error);
        continue;
      }
      if (room && isPublish(call)) {
        if (taken.has(room)) continue;
        taken.add(room);
      }
      if (call.state === "waiting" && this.#line.open && (!room || room.joined)) void this.#send(call);
    }
  }

  /** Fails all calls of one room, or of the whole client and for good. */
  end(reason: BellhopError, room?: Place): void {
    if (!room) this.#over = reason;
    for (const call of [...this.#calls]) if ((!room || call.room === room) && this.#remove(call)) call.reject(reason);
  }

  async #send(call: Call): Promise<void> {
    call.state = "sent";
    try {
      const data = await this.#line.ask<never>(call.action);
      this.#settle(call, () => call.resolve(data));
    } catch (err) {
      if (!this.#calls.includes(call)) return;
      if (mayWorkLater(err)) this.#again(call, err);
      else if (err instanceof BellhopError && err.code === "not_in_room" && call.room && !call.room.error) this.#again(call, err);
      else this.#settle(call, () => call.reject(err));
    }
  }

  #again(call: Call, { code, retryAfterMs }: BellhopError): void {
    call.state = "waiting";
    if (code === "not_in_room") call.room!.expelled();
    else if (code !== "disconnected") {
      call.state = "pausing";
      call.pause = setTimeout(() => {
        call.state = "waiting";
        this.run();
      }, retryAfterMs ?? jitter(call.tries++, 250, 5_000));
    }
    this.run();
  }

  #settle(call: Call, how: () => void): void {
    if (!this.#remove(call)) return;
    how();
    this.run(); // the next publish of the room
  }

  #remove(call: Call): boolean {
    const at = this.#calls.indexOf(call);
    if (at >= 0) this.#calls.splice(at, 1);
    clearTimeout(call.deadline);
    clearTimeout(call.pause);
    return at >= 0;
  }

  /** While there is no connection a publish that is one too many takes the place of the oldest. */
  #dropOldest(): void {
    if (this.#line.open) return;
    const publishes = this.#calls.filter(isPublish);
    const oldest = publishes[0];
    if (publishes.length <= this.#limit || !oldest || !this.#remove(oldest)) return;
    const what = { room: oldest.room!.name, event: String(oldest.action.event), id: oldest.action.id };
    oldest.reject(new BellhopError("dropped", `Too much waits for the connection: ${what.event} in ${what.room} was dropped.`, { retry: true }));
    this.#line.dropped(what);
  }

  #tooLate(action: string): BellhopError {
    return new BellhopError("timeout", `${action} was tried for ${this.#time / 1000} s and not answered; it is not known whether it was done.`, { retry: true });
  }
}

const isPublish = ({ action }: Call) => action.action === "publish";
