// What the browser tests stand on: the real `bellhop dev` on a free port with a store of its own, and real windows.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { chromium } from "playwright-core";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

// Bellhop is one server, and the command to emit with.
export class Bellhop {
  // build makes the page and the binary that has it, unless there is one already: BELLHOP may name one.
  async build({ binary = process.env.BELLHOP } = {}) {
    this.dir = await mkdtemp(join(tmpdir(), "bellhop-e2e-"));
    this.binary = binary || join(this.dir, "bellhop");
    if (!binary) {
      await run("npm", ["run", "build", "--workspace", "demo"], { cwd: join(root, "web") });
      await run("go", ["build", "-o", this.binary, "./cmd/bellhop"], { cwd: root });
    }
    this.port = await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
    process.on("exit", () => this.process?.kill("SIGKILL"));
  }

  // start takes more arguments for bellhop dev.
  async start(...more) {
    const args = ["dev", "--listen", `127.0.0.1:${this.port}`, "--data", join(this.dir, "data"), ...more];
    this.output = "";
    this.process = spawn(this.binary, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (chunk) => (this.output += chunk));
    for (const end = Date.now() + 150_000; ; await pause(50)) {
      if (await fetch(this.url).catch(() => null)) return;
      assert.equal(this.process.exitCode, null, `bellhop dev ended:\n${this.output}`);
      assert.ok(Date.now() < end, `bellhop dev does not answer:\n${this.output}`);
    }
  }

  async stop() {
    const process = this.process;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    const exit = once(process, "exit");
    const timer = setTimeout(() => process.kill("SIGKILL"), 20_000);
    process.kill("SIGTERM");
    await exit;
    clearTimeout(timer);
  }

  async remove() {
    await this.stop();
    if (this.dir) await rm(this.dir, { recursive: true, force: true });
  }

  async emit(to, event, data) {
    const target = to.includes(":") ? ["--room", to] : ["--user", to];
    await run(this.binary, ["emit", "--endpoint", this.url, ...target, "--event", event, "--data", JSON.stringify(data)]);
  }

  // publish is a message by the emit function itself, which is quicker than the command.
  async publish(room, data) {
    const command = { command: "publish", rooms: [room], event: "message:new", data };
    const response = await fetch(`${this.url}/2015-03-31/functions/emit/invocations`, { method: "POST", body: JSON.stringify(command) });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("x-amz-function-error"), null);
  }

  // shell runs a command line as it stands in the page.
  async shell(command) {
    const path = join(this.dir, "path");
    await mkdir(path, { recursive: true });
    await symlink(this.binary, join(path, "bellhop")).catch((err) => assert.equal(err.code, "EEXIST"));
    await run("/bin/sh", ["-c", command], { env: { ...process.env, PATH: `${path}:${process.env.PATH}` } });
  }

  async token(user, ttl) {
    return (await run(this.binary, ["token", "--user", user, "--ttl", ttl])).stdout.trim();
  }

  async connections() {
    return (await fetch(`${this.url}/_bellhop/connections`)).json();
  }

  // cut ends a user's connections without a word, as a network does.
  async cut(user) {
    for (const { id } of (await this.connections()).filter((each) => each.user === user)) {
      await fetch(`${this.url}/dev/@connections/${encodeURIComponent(id)}`, { method: "DELETE" });
    }
  }
}

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
}

// Windows opens windows for one test, and fails the test if one of them complained or asked another host.
export class Windows {
  #contexts = [];
  #complaints = [];

  constructor(t, browser, bellhop) {
    this.browser = browser;
    this.bellhop = bellhop;
    this.tolerated = /^$/;
    t.after(async () => {
      for (const context of this.#contexts) await context.close();
      assert.deepEqual(this.#complaints.filter((words) => !this.tolerated.test(words)), []);
    });
  }

  // page gives an empty window with cookies and storage of its own.
  async page(options = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
    context.setDefaultTimeout(20_000);
    this.#contexts.push(context);
    const page = await context.newPage();
    page.on("console", (line) => ["error", "warning"].includes(line.type()) && this.#complaints.push(line.text()));
    page.on("pageerror", (err) => this.#complaints.push(String(err)));
    for (const kind of ["request", "websocket"]) {
      page.on(kind, (it) => new URL(it.url()).host === new URL(this.bellhop.url).host || this.#complaints.push(`${kind} to ${it.url()}`));
    }
    return page;
  }

  // login gives a window that is connected and has joined its rooms.
  async login({ user, channel = "lobby", community = "town", over, prepare, ...options }) {
    const page = await this.page(options);
    await prepare?.(page);
    await page.goto(`${this.bellhop.url}/?${new URLSearchParams({ user, channel, community, ...(over && { over }) })}`);
    await connected(page);
    return page;
  }
}

export async function connected(page) {
  await page.locator('[data-testid="connection"][data-state="open"]').waitFor();
  await page.locator('[data-testid="person"]', { hasText: "(you)" }).first().waitFor({ state: "attached" });
}

// message finds messages by their whole text.
export function message(page, text, state = "sent") {
  const content = page.getByTestId("message-content").filter({ hasText: new RegExp(`^${escape(text)}$`) });
  return page.locator(`[data-testid="message"][data-state="${state}"]`).filter({ has: content });
}

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

export async function say(page, text) {
  await page.getByTestId("content").fill(text);
  await page.getByTestId("send").click();
}

export function person(page, user, status = "online") {
  return page.locator(`[data-testid="person"][data-user="${user}"][data-status="${status}"]`);
}

export async function screenshot(page, name) {
  if (!process.env.SCREENSHOTS) return;
  await page.waitForFunction(() => [...document.images].every(({ complete }) => complete));
  await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) });
}
