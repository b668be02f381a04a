import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { WebSocket } from "ws";
import { startBellhop as start } from "../emulator.js";

/** One `bellhop dev`. */
export interface Bellhop {
  endpoint: string;
  stop(): Promise<void>;
}

export async function startBellhop(): Promise<Bellhop> {
  const server = await start();
  return { endpoint: server.http, stop: () => server.end() };
}

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
  static async open({ endpoint }: Bellhop, user: string, ...rooms: string[]): Promise<Listener> {
    const response = await fetch(`${endpoint}/_bellhop/token`, { method: "POST", body: JSON.stringify({ user, name: user.toUpperCase() }) });
    const { token } = (await response.json()) as { token: string };
    const socket = new WebSocket(`${endpoint.replace("http", "ws")}/dev`, ["bellhop.v1", `bearer.${token}`]);
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

/** Waits for something that is about to be. */
export async function until<T>(look: () => T | undefined | false, what: string): Promise<T> {
  for (const end = Date.now() + 5_000; ; await pause(10)) {
    const found = look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`no ${what} came`);
  }
}
