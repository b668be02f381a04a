import { spawn, execFile, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { WebSocket } from "ws";

const root = fileURLToPath(new URL("../../../..", import.meta.url));

/** One `bellhop dev` that forgets everything at the end. */
export interface Bellhop {
  endpoint: string;
  stop(): Promise<void>;
}

/** Builds and starts a server on a port of its own. BELLHOP names a binary that is built already. */
export async function startBellhop(): Promise<Bellhop> {
  const dir = mkdtempSync(join(tmpdir(), "bellhop-server-"));
  const binary = process.env.BELLHOP || join(dir, "bellhop");
  if (!process.env.BELLHOP) await promisify(execFile)("go", ["build", "-o", binary, "./cmd/bellhop"], { cwd: root });
  const port = await freePort();
  const child: ChildProcess = spawn(binary, ["dev", "--listen", `127.0.0.1:${port}`, "--memory", "--quiet"], { stdio: "ignore" });
  const kill = () => child.kill("SIGKILL");
  process.on("exit", kill);
  const endpoint = `http://127.0.0.1:${port}`;
  for (let tries = 0; !(await fetch(`${endpoint}/_bellhop/stats`).catch(() => null)); tries++) {
    if (tries === 200 || child.exitCode !== null) throw new Error("bellhop dev does not start");
    await pause(50);
  }
  return {
    endpoint,
    async stop() {
      const exit = once(child, "exit");
      child.kill("SIGTERM");
      await Promise.race([exit, pause(5_000).then(kill)]);
      process.off("exit", kill);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
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
