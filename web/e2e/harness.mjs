// What the browser tests stand on: the real `bellhop dev`, and real windows.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import { Bellhop as Server, SECRET, binary } from "../testing/bellhop.mjs";

const run = promisify(execFile);

// Bellhop is one server with the page in it, and what people type beside it.
export class Bellhop extends Server {
  get url() {
    return this.http;
  }

  // start takes more arguments for bellhop dev.
  async start(...more) {
    this.binary = await binary({ page: true });
    return super.start(...more);
  }

  async emit(to, event, data) {
    const target = to.includes(":") ? ["--room", to] : ["--user", to];
    await run(this.binary, ["emit", "--endpoint", this.url, ...target, "--event", event, "--data", JSON.stringify(data)]);
  }

  // publish is a message by the emit function itself, which is quicker than the command.
  async publish(room, data) {
    const answer = await this.command({ command: "publish", rooms: [room], event: "message:new", data });
    assert.equal(answer.ok, true, JSON.stringify(answer));
  }

  // shell runs a command line as it stands in the page, in a folder that has .bin/bellhop.
  async shell(command) {
    const bin = join(this.dir, ".bin");
    await mkdir(bin, { recursive: true });
    await symlink(this.binary, join(bin, "bellhop")).catch((err) => assert.equal(err.code, "EEXIST"));
    await run("/bin/sh", ["-c", command], { cwd: this.dir, env: { ...process.env, BELLHOP_JWT_SECRET: SECRET } });
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

  constructor(t, browser, bellhop, ...others) {
    this.browser = browser;
    this.bellhop = bellhop;
    this.servers = [bellhop, ...others];
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
      page.on(kind, (it) => this.servers.some(({ url }) => new URL(url).host === new URL(it.url()).host) || this.#complaints.push(`${kind} to ${it.url()}`));
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
