import type { Grant } from "../server/tokens.js";
import type { Member, Room, Told } from "./room.js";

/** What a token says. */
export interface Identity {
  user: string;
  name?: string;
  grants: Readonly<Record<string, readonly Grant[]>>;
  /** Unix time in milliseconds. */
  expires: number;
}

/** What a server is to its sockets. */
export interface Gateway {
  /** Takes a handshake, and says why it is refused, if it is. */
  open(socket: Socket, protocols: readonly string[]): void;
}

/** One connection as the server sees it. */
export class Connection implements Member {
  readonly rooms = new Set<Room>();
  paused = false;
  /** Ends what waits for its token or its longest time. */
  forget: (() => void)[] = [];
  reason = "";

  constructor(readonly id: string, public identity: Identity, readonly socket: Socket, readonly connectedAt: number) {}

  get user(): string {
    return this.identity.user;
  }

  may(room: string, what: Grant): boolean {
    return Object.entries(this.identity.grants).some(([pattern, may]) => (pattern.endsWith("*") ? room.startsWith(pattern.slice(0, -1)) : pattern === room) && may.includes(what));
  }

  push(event: Told): void {
    if (!this.paused || event.room === undefined || event.room === `user:${this.user}`) this.socket.receive(event);
  }
}

/** The `WebSocket` of clients: an `EventTarget` whose frames go to a server in the same process. */
export abstract class Socket extends EventTarget {
  readyState = 0;
  /** Set by the server. */
  heard: (text: string) => void = () => {};
  gone: (code: number) => void = () => {};
  /** Frames wait for the one before them. */
  #out: Promise<void> = Promise.resolve();

  constructor(gateway: Gateway, protocols: string | readonly string[]) {
    super();
    queueMicrotask(() => gateway.open(this, typeof protocols === "string" ? [protocols] : protocols));
  }

  accept(): void {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  /** Refuses the handshake. A browser tells its page nothing of why. */
  refuse(): void {
    this.dispatchEvent(new Event("error"));
    this.end(1006);
  }

  send(text: string): void {
    this.#out = this.#out.then(() => this.readyState === 1 && this.heard(text)).then(() => {});
  }

  receive(frame: object): void {
    const data = JSON.stringify(frame);
    queueMicrotask(() => this.readyState === 1 && this.dispatchEvent(Object.assign(new Event("message"), { data })));
  }

  /** The connection is over for the client. */
  end(code: number): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.gone(code);
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason: "", wasClean: code !== 1006 }));
  }

  close(code = 1005): void {
    this.end(code);
  }
}
