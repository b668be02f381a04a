import { setTimeout as pause } from "node:timers/promises";
import { Bellhop, type Claims } from "../emulator.js";

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
