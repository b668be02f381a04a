import { WebSocket } from "ws";

/** What goes wrong on the way to the server and back, if a test says so: what is to be logged, or the replies to that. */
export interface Losses {
  actions: boolean;
  replies: boolean;
}

const logged = ["publish", "notification:read"];

/** A real WebSocket that loses what a test says. */
export abstract class Lossy extends WebSocket {
  readonly losses: Losses = { actions: false, replies: false };
  readonly #ids = new Set<string>();

  /** Reads a frame of the client: its action, and the id that the reply will have. */
  protected abstract asked(frame: string): { action?: string | undefined; id?: string | undefined };
  /** Gives the id of a reply; undefined for other frames. */
  protected abstract answered(frame: string): string | undefined;

  override send(data: Parameters<WebSocket["send"]>[0], ...rest: unknown[]): void {
    const { action, id } = this.asked(String(data));
    const counts = action !== undefined && logged.includes(action);
    if (counts && id) this.#ids.add(id);
    if (!counts || !this.losses.actions) super.send(data, ...(rest as []));
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const id = event === "message" && this.losses.replies ? this.answered(String(args[0])) : undefined;
    return id !== undefined && this.#ids.has(id) ? true : super.emit(event, ...args);
  }
}

/** Of a client that speaks bellhop.v1. */
export class LossyBellhop extends Lossy {
  protected override asked(frame: string): { action?: string; id?: string } {
    return JSON.parse(frame) as { action?: string; id?: string };
  }

  protected override answered(frame: string): string | undefined {
    return (JSON.parse(frame || "{}") as { reply?: string }).reply;
  }
}

/** Of a client that speaks Socket.IO. */
export class LossySocketIO extends Lossy {
  protected override asked(frame: string): { action?: string | undefined; id?: string | undefined } {
    const [, id, action] = /^42(\d*)\["([^"]+)"/.exec(frame) ?? [];
    return { action, id };
  }

  protected override answered(frame: string): string | undefined {
    return /^43(\d+)/.exec(frame)?.[1];
  }
}
