import { spawn, type ChildProcess } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { WebSocket } from "ws";
import { connect, type Client, type ConnectOptions } from "../src/index.js";
import { overSocketIO } from "./socketio.js";

const SECRET = "a secret of the tests, long enough for HS256";

export interface Claims {
  ttl?: number; // seconds
  name?: string;
  grants?: Record<string, string[]>;
}

/** One `bellhop dev` on a port of its own, which BELLHOP in the environment names the binary of: see build.ts. */
export class Bellhop {
  #child!: ChildProcess;
  #port = 0;
  #data: string;
  #args: string[];

  constructor(args: string[]) {
    this.#args = args;
    this.#data = mkdtempSync(join(tmpdir(), "bellhop-client-"));
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}/dev`;
  }

  get http(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<this> {
    this.#port ||= await freePort();
    const args = ["dev", "--listen", `127.0.0.1:${this.#port}`, "--data", this.#data, "--jwt-secret", SECRET, "--quiet", ...this.#args];
    this.#child = spawn(process.env.BELLHOP!, args, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    this.#child.stderr!.on("data", (chunk) => (said += String(chunk)));
    process.on("exit", this.#kill);
    for (let tries = 0; !(await this.#ask("GET", "/_bellhop/stats").catch(() => null)); tries++) {
      if (tries === 200 || this.#child.exitCode !== null) {
        this.#kill();
        throw new Error(`bellhop dev does not start: ${said}`);
      }
      await pause(50);
    }
    return this;
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    process.off("exit", this.#kill);
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.kill(signal);
    const timer = setTimeout(this.#kill, 15_000);
    await exit;
    clearTimeout(timer);
  }

  /** Stops for good. */
  async end(): Promise<void> {
    await this.stop();
    rmSync(this.#data, { recursive: true, force: true });
  }

  /** Forgets what was said, as a table that was lost would. */
  async forget(): Promise<void> {
    await this.stop();
    rmSync(this.#data, { recursive: true, force: true });
    await this.start();
  }

  /** A token that may do everything, unless grants say less. */
  token(user: string, { ttl = 3600, name, grants = { "channel:*": ["join", "publish"], "community:*": ["join", "publish"] } }: Claims = {}): string {
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = { sub: user, ...(name && { name }), exp: Math.floor(Date.now() / 1000) + ttl, grants };
    const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
    return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
  }

  async emit(command: object): Promise<{ ok: boolean; data?: unknown; error?: { code: string } }> {
    return (await this.#ask("POST", "/2015-03-31/functions/emit/invocations", JSON.stringify(command))) as { ok: boolean };
  }

  async connections(user?: string): Promise<{ id: string; user: string; rooms: string[] }[]> {
    const all = (await this.#ask("GET", "/_bellhop/connections")) as { id: string; user: string; rooms: string[] }[];
    return user === undefined ? all : all.filter((one) => one.user === user);
  }

  /** Ends a user's connections from the server's side. */
  async cut(user: string): Promise<void> {
    for (const { id } of await this.connections(user)) await this.#ask("DELETE", `/dev/@connections/${encodeURIComponent(id)}`);
  }

  /** A client of a user, who may do everything unless grants say less. */
  connect(user: string, options: Partial<ConnectOptions> & Claims = {}): Client {
    const { ttl, name, grants, ...rest } = options;
    return connect(this.url, {
      token: () => this.token(user, { ...(ttl && { ttl }), ...(name && { name }), ...(grants && { grants }) }),
      WebSocket,
      maxDelay: 500,
      ...(process.env.OVER === "socket.io" && { transport: overSocketIO }),
      ...rest,
    });
  }

  // Not fetch: that of happy-dom asks for CORS first.
  async #ask(method: string, path: string, body?: string): Promise<unknown> {
    const [response] = await once(request(this.http + path, { method, agent: false }).end(body), "response");
    let text = "";
    for await (const chunk of response) text += String(chunk);
    if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${response.statusCode} ${text}`);
    return text ? (JSON.parse(text) as unknown) : undefined;
  }

  readonly #kill = () => void this.#child.kill("SIGKILL");
}

export function startBellhop({ args = [] }: { args?: string[] } = {}): Promise<Bellhop> {
  return new Bellhop(args).start();
}

/** Waits until something holds, and gives it. */
export async function until<T>(what: () => T | Promise<T>, within = 10_000): Promise<NonNullable<T>> {
  for (const end = Date.now() + within; ; await pause(10)) {
    const got = await what();
    if (got) return got;
    if (Date.now() > end) throw new Error(`did not come true within ${within} ms: ${what}`);
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
