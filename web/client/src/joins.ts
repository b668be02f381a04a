import { BellhopError } from "./error.js";
import type { Requests } from "./requests.js";
import { refused, type Action, type Refusal } from "./transport.js";
import type { JoinResult, Position } from "./types.js";

/** Rooms of one frame: so many that its answer is not much more than a page. */
const TOGETHER = 50;
/** A frame may have 32 KB. */
const BYTES = 24 * 1024;

/** One room that is to be joined. */
export interface Joining {
  readonly name: string;
  /** From where. */
  readonly position: Position | null;
  /** It is known who was present there. */
  readonly listed: boolean;
  /** Somebody still wants it. */
  readonly wanted: boolean;
}

interface Entry {
  room: Joining;
  resolve(result: JoinResult | null): void;
  reject(err: unknown): void;
}

type Answer = JoinResult | { room: string; error: Refusal };

/** Joins rooms: those that wait together by one frame, if the server takes such; those first that calls wait for. */
export class Joins {
  #requests: Requests;
  #urgent: (room: Joining) => boolean;
  #waiting: Entry[] = [];
  #scheduled = false;
  #many = true; // the server takes several in one frame, as far as is known

  /** @param urgent says whether something waits for a room to be joined */
  constructor(requests: Requests, urgent: (room: Joining) => boolean) {
    this.#requests = requests;
    this.#urgent = urgent;
  }

  /** Resolves to the answer; to null if nobody wanted the room any more when its turn came. */
  add(room: Joining): Promise<JoinResult | null> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ room, resolve, reject });
      this.#schedule();
    });
  }

  /** What is to be joined at the same moment is joined together. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    let taken: Entry[] = [];
    try {
      const answer = await this.#requests.ask<JoinResult | { rooms: Answer[] }>(() => {
        taken = this.#take();
        if (this.#waiting.length > 0) this.#schedule();
        return frame(taken);
      }, "membership");
      if (answer) this.#give(taken, "rooms" in answer ? answer.rooms : [answer]);
    } catch (err) {
      const old = taken.length > 1 && err instanceof BellhopError && (err.code === "bad_request" || err.code === "unknown_action");
      if (old) this.#many = false;
      if (taken.length === 0) taken = this.#waiting.splice(0); // there was no turn: the connection is gone
      for (const entry of taken) old ? this.#waiting.push(entry) : entry.reject(err);
      if (old) this.#schedule();
    }
  }

  #take(): Entry[] {
    for (const entry of this.#waiting.filter(({ room }) => !room.wanted)) entry.resolve(null);
    const rank = ({ room }: Entry) => (this.#urgent(room) ? 0 : 1);
    const all = this.#waiting.filter(({ room }) => room.wanted).sort((a, b) => rank(a) - rank(b));
    let count = Math.min(all.length, this.#many ? TOGETHER : 1);
    while (count > 1 && JSON.stringify(frame(all.slice(0, count))).length > BYTES) count >>= 1;
    this.#waiting = all.slice(count);
    return all.slice(0, count);
  }

  #give(taken: Entry[], answers: Answer[]): void {
    for (const entry of taken) {
      const answer = taken.length === 1 ? answers[0] : answers.find(({ room }) => room === entry.room.name);
      if (!answer) this.#waiting.push(entry); // there was no place for it in the answer
      else if ("error" in answer) entry.reject(refused(answer.error));
      else entry.resolve(answer);
    }
    if (this.#waiting.length > 0) this.#schedule();
  }
}

function frame(entries: Entry[]): Action | null {
  const rooms = entries.map(({ room: { name, position, listed } }) => ({ room: name, ...(position && { since: position, ...(listed && { listed }) }) }));
  if (rooms.length > 1) return { action: "join", rooms };
  return rooms[0] ? { action: "join", ...rooms[0] } : null;
}
