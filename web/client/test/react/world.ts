import { setTimeout as pause } from "node:timers/promises";
import { WebSocket } from "ws";
import { Bellhop, type Claims } from "../emulator.js";
import { logged, type Losses } from "../losses.js";

/** A `bellhop dev` whose users have names, and whose commands have to work. */
export class World extends Bellhop {
  static async start(...args: string[]): Promise<World> {
    return new World(args).start();
  }

  override token(user: string, claims: Claims = {}): string {
    return super.token(user, { name: user.toUpperCase(), ...claims });
  }

  /** Does a command as a program would, or a list of them. */
  override async emit(command: object): ReturnType<Bellhop["emit"]> {
    const answer = await super.emit(command);
    for (const { ok } of [answer].flat()) if (!ok) throw new Error(JSON.stringify(answer));
    return answer;
  }
}

/** Waits for something that is about to be, and gives it. */
export async function until<T>(look: () => T | Promise<T>, what: string, within = 5_000): Promise<NonNullable<T>> {
  for (const end = Date.now() + within; ; await pause(10)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`no ${what} in ${within} ms`);
  }
}

/** A real WebSocket that loses what a test says. */
export class Lossy extends WebSocket {
  readonly losses: Losses = { actions: false, replies: false };
  readonly #ids = new Set<string>();

  override send(data: Parameters<WebSocket["send"]>[0], ...rest: unknown[]): void {
    const { action, id } = JSON.parse(String(data)) as { action: string; id?: string };
    if (logged.includes(action) && id !== undefined) this.#ids.add(id);
    if (logged.includes(action) && this.losses.actions) return;
    super.send(data, ...(rest as []));
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== "message" || !this.losses.replies) return super.emit(event, ...args);
    const { reply } = JSON.parse(String(args[0]) || "{}") as { reply?: string };
    return reply !== undefined && this.#ids.has(reply) ? true : super.emit(event, ...args);
  }
}
