import { vi } from "vitest";
import { connect, type Client, type ConnectOptions, type RoomEvent } from "../src/index.js";

export interface Sent {
  action: string;
  id?: string;
  room?: string;
  rooms?: { room: string }[];
  [field: string]: unknown;
}

type Answer = object | null | undefined;

/**
 * A server that a test writes, for what no real one does when it is asked to: a time that is fake, answers that are lost, a
 * renewal that is refused. It answers 20 ms later, unless there is no answer.
 */
export class Wire {
  /** All that was sent, with the time since the beginning in milliseconds and the number of the connection. */
  readonly sent: (Sent & { at: number; on: number })[] = [];
  /** The tokens that connections were asked for with. */
  readonly tokens: string[] = [];
  /** Refuses handshakes. */
  refuses = false;
  /** How long a handshake takes, in milliseconds. */
  handshake = 0;
  readonly #start = Date.now();
  readonly #answers: (frame: Sent) => Answer;
  #sockets: FakeSocket[] = [];

  constructor(answers: (frame: Sent) => Answer = answer) {
    this.#answers = answers;
  }

  connect(options: Partial<ConnectOptions> = {}): Client {
    const wire = this;
    class Socket extends FakeSocket {
      constructor(_url: string, [, token]: string[]) {
        super((frame) => wire.#take(frame, number));
        wire.tokens.push(token!.slice("bearer.".length));
        const number = wire.#sockets.push(this);
        setTimeout(() => (wire.refuses ? this.end() : this.begin()), wire.handshake);
      }
    }
    return connect("ws://wire", { token: () => token("ana"), WebSocket: Socket, ...options });
  }

  /** The numbers of the connections that are open. */
  get open(): number[] {
    return this.#sockets.flatMap(({ readyState }, n) => (readyState === 1 ? [n + 1] : []));
  }

  /** Ends the connection, without a word. */
  cut(): void {
    this.#sockets.at(-1)?.end();
  }

  /** Sends a frame to the client. */
  push(frame: object): void {
    this.#sockets.at(-1)?.receive(frame);
  }

  named(action: string): Sent[] {
    return this.sent.filter((frame) => frame.action === action);
  }

  #take(frame: Sent, on: number): void {
    this.sent.push({ ...frame, at: Date.now() - this.#start, on });
    const reply = this.#answers(frame);
    if (reply) setTimeout(() => this.#sockets[on - 1]!.receive("event" in reply ? reply : { reply: frame.id, ...reply }), 20);
  }
}

class FakeSocket extends EventTarget {
  readyState = 0;
  readonly #take: (frame: Sent) => void;

  constructor(take: (frame: Sent) => void) {
    super();
    this.#take = take;
  }

  send(text: string): void {
    this.#take(JSON.parse(text) as Sent);
  }

  begin(): void {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  receive(frame: object): void {
    if (this.readyState === 1) this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(frame) }));
  }

  end(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code: 1006 }));
  }

  close(): void {
    this.readyState = 3;
  }
}

/** What a server answers that has nothing to say against it. */
export function answer(frame: Sent): Answer {
  if (frame.action === "ping") return { event: "pong" };
  if (frame.rooms) return refusal("bad_request"); // as before there were joins of many
  if (frame.action === "join") return ok(joined(frame.room!));
  return ok({ room: frame.room, epoch: "e", seq: 1, id: frame.id, ts: 1, events: [], more: false });
}

export const ok = (data: object) => ({ ok: true, data });
export const joined = (room: string, more: object = {}) => ({ room, epoch: "e", seq: 0, recovered: false, events: [], ...more });
export const event = (seq: number, room = "channel:1"): RoomEvent => ({ event: "message:new", room, seq, id: `m${seq}`, ts: seq, data: { content: `${seq}` } });

export function refusal(code: string, more: object = {}): { ok: false; error: object } {
  return { ok: false, error: { code, message: `It is ${code}.`, retry: ["rate_limited", "unavailable"].includes(code), ...more } };
}

/** A token that says what a client reads of it. */
export function token(user: string, life = 3_600, issued: number | null = Math.floor(Date.now() / 1000)): string {
  const claims = { sub: user, ...(issued !== null && { iat: issued }), exp: (issued ?? Math.floor(Date.now() / 1000)) + life };
  return `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.y`;
}

/** Lets time pass, and everything that is due in it happen. */
export const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000);
