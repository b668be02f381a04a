// @ts-check
// The one way in which tests, browsers' tests and measurements in web/ start a server: the real `bellhop dev`, on a free port,
// with a store of its own.

import { execFile, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");

/** Signs the tokens of all servers that are started here. */
export const SECRET = "a secret of the tests, long enough for HS256";

/**
 * The binary that BELLHOP in the environment names, or one that is built now; with the page in it if that is asked for. A
 * program that BELLHOP was set for by this function finds it there.
 *
 * @param {{ page?: boolean }} [options]
 * @returns {Promise<string>}
 */
export async function binary({ page = false } = {}) {
  if (process.env.BELLHOP) return process.env.BELLHOP;
  const dir = mkdtempSync(join(tmpdir(), "bellhop-build-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const built = join(dir, "bellhop");
  if (page) await run("npm", ["run", "build", "--workspace", "demo"], { cwd: join(root, "web") });
  await run("go", ["build", "-o", built, "./cmd/bellhop"], { cwd: root });
  return (process.env.BELLHOP = built);
}

/**
 * What a token says.
 *
 * @typedef {object} Claims
 * @property {number} [ttl] seconds, 3,600
 * @property {string} [name]
 * @property {Record<string, string[]>} [grants] everything, unless they say less
 */

/** One `bellhop dev`. It can be stopped and started again: at the same port, with what it has stored. */
export class Bellhop {
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #child;
  #said = "";
  #port = 0;
  #dir = mkdtempSync(join(tmpdir(), "bellhop-test-"));
  /** @type {string[]} */
  #args;

  /** @param {string[]} args more of `bellhop dev` */
  constructor(args = []) {
    this.#args = args;
    process.on("exit", this.#gone);
  }

  /** Where the page is, and all that is asked by HTTP. */
  get http() {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Where clients connect. */
  get ws() {
    return `ws://127.0.0.1:${this.#port}/dev`;
  }

  /** A folder for this server alone. */
  get dir() {
    return this.#dir;
  }

  /** All that it has printed. */
  get output() {
    return this.#said;
  }

  /**
   * @param {string[]} more arguments, for this time and the next
   * @returns {Promise<this>}
   */
  async start(...more) {
    this.#args.push(...more);
    const ready = join(this.#dir, "ready.json");
    rmSync(ready, { force: true });
    const where = this.#args.includes("--memory") ? [] : ["--data", join(this.#dir, "data")];
    const args = ["dev", "--listen", `127.0.0.1:${this.#port}`, ...where, "--ready-file", ready, "--quiet", ...this.#args];
    const child = spawn(await binary(), args, { cwd: root, env: { ...process.env, BELLHOP_JWT_SECRET: SECRET }, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    this.#said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (this.#said += String(chunk)));
    for (const end = Date.now() + 150_000; ; await pause(20)) { // DynamoDB Local may have to be fetched
      try {
        const { http } = /** @type {{ http: string }} */ (JSON.parse(readFileSync(ready, "utf8")));
        this.#port = Number(new URL(http).port);
        return this;
      } catch {
        if (child.exitCode !== null || Date.now() > end) throw new Error(`bellhop dev does not start: ${this.#said}`);
      }
    }
  }

  /** @param {NodeJS.Signals} signal */
  async stop(signal = "SIGTERM") {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    const timer = setTimeout(this.#kill, 20_000);
    child.kill(signal);
    await exit;
    clearTimeout(timer);
  }

  /** Stops for good. */
  async end() {
    await this.stop();
    process.off("exit", this.#gone);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** Forgets what was said, as a table that was lost would. */
  async forget() {
    await this.stop();
    rmSync(join(this.#dir, "data"), { recursive: true, force: true });
    await this.start();
  }

  /**
   * @param {string} user
   * @param {Claims} claims
   * @returns {string}
   */
  token(user, { ttl = 3600, name, grants = { "channel:*": ["join", "publish"], "community:*": ["join", "publish"] } } = {}) {
    const now = Math.floor(Date.now() / 1000);
    /** @param {object} value */
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub: user, ...(name && { name }), iat: now, exp: now + ttl, grants })}`;
    return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
  }

  /**
   * Does a command as a program would, or a list of them.
   *
   * @param {object} command
   * @returns {Promise<any>}
   */
  command(command) {
    return this.ask("POST", "/2015-03-31/functions/emit/invocations", JSON.stringify(command));
  }

  /**
   * @param {string} [user] all, if there is none
   * @returns {Promise<{ id: string; user: string; rooms: string[] }[]>}
   */
  async connections(user) {
    const all = /** @type {{ id: string; user: string; rooms: string[] }[]} */ (await this.ask("GET", "/_bellhop/connections"));
    return user === undefined ? all : all.filter((one) => one.user === user);
  }

  /**
   * Ends a user's connections from the server's side, as a network does that says nothing.
   *
   * @param {string} user
   */
  async cut(user) {
    for (const { id } of await this.connections(user)) {
      await this.ask("DELETE", `/dev/@connections/${encodeURIComponent(id)}`).catch((err) => {
        if (err.cause !== 410) throw err; // it has gone by itself meanwhile
      });
    }
  }

  /**
   * Not by fetch: that of happy-dom asks for CORS first.
   *
   * @param {string} method
   * @param {string} path
   * @param {string} [body]
   * @returns {Promise<any>}
   */
  async ask(method, path, body) {
    const [response] = await once(request(this.http + path, { method, agent: false }).end(body), "response");
    let text = "";
    for await (const chunk of response) text += String(chunk);
    if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${response.statusCode} ${text}`, { cause: response.statusCode });
    return text ? JSON.parse(text) : undefined;
  }

  #kill = () => void this.#child?.kill("SIGKILL");

  #gone = () => {
    this.#kill();
    rmSync(this.#dir, { recursive: true, force: true });
  };
}

/**
 * Waits until something holds, and gives it.
 *
 * @template T
 * @param {() => T | Promise<T>} look
 * @param {string} [what] for the message
 * @param {number} [within] milliseconds
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(look, what = String(look), within = 10_000) {
  for (const end = Date.now() + within; ; await pause(10)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`no ${what} within ${within} ms`);
  }
}
