import { spawn, type ChildProcess } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { WebSocket } from "ws";

const binary = process.env.BELLHOP ?? join(import.meta.dirname, "../../../../.bin/bellhop");
const secret = "a secret of the tests, long enough for HS256";

const everything = { "channel:*": ["join", "publish"], "community:*": ["join", "publish"] };

/** One connection, as the server lists it. */
export interface Connection {
  id: string;
  user: string;
  rooms: string[];
}

/** A `bellhop dev` that forgets everything at the end. */
export class World {
  readonly url: string;
  readonly #endpoint: string;
  readonly #child: ChildProcess;

  private constructor(port: number, child: ChildProcess) {
    this.url = `ws://127.0.0.1:${port}/dev`;
    this.#endpoint = `http://127.0.0.1:${port}`;
    this.#child = child;
  }

  static async start(...args: string[]): Promise<World> {
    const port = await freePort();
    const fixed = ["dev", "--listen", `127.0.0.1:${port}`, "--memory", "--quiet", "--jwt-secret", secret];
    const child = spawn(binary, [...fixed, ...args], { stdio: "ignore" });
    process.on("exit", () => child.kill("SIGKILL"));
    const world = new World(port, child);
    await until(() => world.connections().catch(() => undefined), "answer of bellhop dev");
    return world;
  }

  async stop(): Promise<void> {
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await exit;
  }

  /** A token of an hour that may do everything, or what the grants say. */
  token(user: string, grants: Record<string, string[]> = everything): string {
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = { sub: user, name: user.toUpperCase(), exp: Math.floor(Date.now() / 1000) + 3600, grants };
    const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  }

  /** Does a command as a program would, or a list of them. */
  async emit(command: object): Promise<void> {
    const answer = await this.#ask("POST", "/2015-03-31/functions/emit/invocations", JSON.stringify(command));
    for (const { ok } of [answer].flat() as { ok?: boolean }[]) if (!ok) throw new Error(JSON.stringify(answer));
  }

  async connections(user?: string): Promise<Connection[]> {
    const all = (await this.#ask("GET", "/_bellhop/connections")) as Connection[];
    return all.filter((each) => user === undefined || each.user === user);
  }

  /** Ends the user's connections without a word. */
  async cut(user: string): Promise<void> {
    for (const { id } of await this.connections(user)) await this.#ask("DELETE", `/dev/@connections/${encodeURIComponent(id)}`);
  }

  // happy-dom's fetch asks for CORS first.
  async #ask(method: string, path: string, body?: string): Promise<unknown> {
    const asked = request(this.#endpoint + path, { method, agent: false }).end(body);
    const [response] = await once(asked, "response");
    let text = "";
    for await (const chunk of response) text += chunk;
    if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${response.statusCode} ${text}`);
    return text && JSON.parse(text);
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

/** Waits for something that is about to be, and gives it. */
export async function until<T>(look: () => T | Promise<T>, what: string, within = 5_000): Promise<NonNullable<T>> {
  for (const end = Date.now() + within; ; await pause(10)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`no ${what} in ${within} ms`);
  }
}

/** A real WebSocket that loses what a test says: publishes on their way, or the replies to them. */
export class Lossy extends WebSocket {
  readonly losses: { publish: boolean; replies: boolean } = { publish: false, replies: false };
  readonly #ids = new Set<string>();

  override send(data: Parameters<WebSocket["send"]>[0], ...rest: unknown[]): void {
    const { action, id } = JSON.parse(String(data)) as { action: string; id?: string };
    if (action === "publish" && id !== undefined) this.#ids.add(id);
    if (action === "publish" && this.losses.publish) return;
    super.send(data, ...(rest as []));
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    if (event !== "message" || !this.losses.replies) return super.emit(event, ...args);
    const { reply } = JSON.parse(String(args[0]) || "{}") as { reply?: string };
    return reply !== undefined && this.#ids.has(reply) ? true : super.emit(event, ...args);
  }
}
