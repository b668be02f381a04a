import { once } from "node:events";
import { WebSocket } from "ws";
import { until, type Bellhop } from "../emulator.js";

/** One frame that is an event, as it came. */
export interface Heard {
  event: string;
  room?: string;
  seq?: number;
  id?: string;
  from?: { userId: string; name?: string };
  data?: unknown;
}

/** A browser as the server sees one: a socket, what it heard, and whether it was closed. */
export class Listener {
  readonly heard: Heard[] = [];
  closed = false;
  readonly #replies = new Map<string, () => void>();

  private constructor(readonly socket: WebSocket) {
    socket.on("message", (data) => {
      const text = String(data);
      if (text) this.#see(JSON.parse(text));
    });
    socket.on("close", () => (this.closed = true));
  }

  #see(frame: { batch?: []; reply?: string; event?: string }): void {
    if (frame.batch) frame.batch.forEach((one) => this.#see(one));
    else if (frame.reply) this.#replies.get(frame.reply)?.();
    else if (frame.event) this.heard.push(frame as Heard);
  }

  /** Connects a user and joins rooms. */
  static async open(bellhop: Bellhop, user: string, ...rooms: string[]): Promise<Listener> {
    const socket = new WebSocket(bellhop.ws, ["bellhop.v1", `bearer.${bellhop.token(user, { name: user.toUpperCase() })}`]);
    const listener = new Listener(socket);
    await once(socket, "open");
    for (const room of rooms) {
      const joined = new Promise<void>((resolve) => listener.#replies.set(room, resolve));
      socket.send(JSON.stringify({ action: "join", id: room, room }));
      await joined;
    }
    return listener;
  }

  /** Waits until an event was heard, and gives it. */
  async event(name: string, id?: string): Promise<Heard> {
    return until(() => this.heard.find((e) => e.event === name && (id === undefined || e.id === id)), `${name} ${id ?? ""}`);
  }

  close(): void {
    this.socket.terminate();
  }
}
