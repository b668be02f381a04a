import { Bellhop, type Claims } from "../emulator.js";

export { until } from "../emulator.js";

/** A `bellhop dev` whose users have names, and whose commands have to work. */
export class World extends Bellhop {
  static start(...args: string[]): Promise<World> {
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
