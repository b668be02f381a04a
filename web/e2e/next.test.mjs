// The application of web/next is used by two people, with its Socket.IO server; then it is moved to Bellhop by the steps of
// docs/MIGRATION.md as they stand there, built by both bundlers of Next.js, and used by them in the same way.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { SECRET, until } from "../testing/bellhop.mjs";
import { Bellhop, Windows, launch, screenshot } from "./harness.mjs";
import { blocks, follow } from "./manual.mjs";

const run = promisify(execFile);
const { WebSocket } = createRequire(import.meta.url)("ws");
const root = join(import.meta.dirname, "../..");
const dir = join(root, ".tools/next"); // node_modules stay there

// What bellhop init writes, which is what the manual says.
const INIT = ["app/api/bellhop/token/route.ts", "app/bellhop.tsx"];

// A route of the edge runtime: it signs a token and tells a channel, by the file of the package that is for such.
const EDGE = `import { signToken, socketEvents } from "@bellhop/client/server";

export const runtime = "edge";

export async function GET(): Promise<Response> {
  const { results } = await socketEvents.newMessage("edge", { content: "from the edge" });
  return Response.json({ token: await signToken(process.env.BELLHOP_JWT_SECRET!, { user: "edgar" }), seq: results[0]!.seq });
}
`;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

// App is the application, built and started.
class App {
  #child;

  constructor(port, env) {
    this.url = `http://127.0.0.1:${port}`;
    this.env = { ...process.env, ...env, PORT: String(port), HOSTNAME: "127.0.0.1", NEXT_TELEMETRY_DISABLED: "1", CI: "1" };
  }

  // build gives what is printed meanwhile.
  async build(signal, ...flags) {
    const { stdout, stderr } = await run("npx", ["next", "build", ...flags], { cwd: dir, env: this.env, signal });
    return stdout + stderr;
  }

  async start(signal) {
    signal.throwIfAborted(); // nobody would stop it
    const child = spawn("npm", ["start"], { cwd: dir, env: this.env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.#child = child;
    this.said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (this.said += String(chunk)));
    process.on("exit", this.stop);
    await until(async () => {
      if (child.exitCode !== null) throw new Error(`the application does not start: ${this.said}`);
      return fetch(this.url).then(({ ok }) => ok, () => false);
    }, "application", 30_000);
  }

  stop = () => {
    process.off("exit", this.stop);
    if (this.#child?.exitCode === null) process.kill(-this.#child.pid, "SIGKILL"); // npm and what it started
  };
}

const said = (page, text) => page.locator("li", { has: page.locator("span").filter({ hasText: new RegExp(`^${text}$`) }) });

async function say(page, text) {
  await page.getByLabel("Message").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

// open logs in, in a profile of its own.
async function open(windows, app, user) {
  const page = await windows.page();
  const connected = page.waitForEvent("console", (line) => /^Socket connected: \S+$/.test(line.text()));
  await page.goto(`${app.url}/login?user=${user}`);
  await connected;
  await page.locator('[data-connected="true"]').waitFor();
  return page;
}

// talk is what the application does for two people.
async function talk(windows, app) {
  const [ana, bob] = [await open(windows, app, "ana"), await open(windows, app, "bob")];
  for (const page of [ana, bob]) {
    await page.getByLabel("Online").filter({ hasText: "ana bob" }).waitFor();
    await said(page, "From before").waitFor();
  }
  await ana.getByLabel("Message").pressSequentially("hel");
  await bob.getByRole("status").filter({ hasText: "Ana is typing" }).waitFor();
  await say(ana, "hello");
  await said(bob, "hello").waitFor();
  await bob.getByRole("status").filter({ hasText: /^$/ }).waitFor({ state: "attached" });
  await say(bob, "hi @ana");
  await ana.getByRole("link", { name: "Bob mentioned you" }).waitFor();
  await said(ana, "hi @ana").waitFor();
  await said(ana, "hello").getByRole("button", { name: "Edit" }).click();
  await said(bob, "hello!").getByText("edited").waitFor();
  await said(bob, "hi @ana").getByRole("button", { name: "Delete" }).click();
  await said(ana, "hi @ana").waitFor({ state: "detached" });
  for (const page of [ana, bob]) assert.deepEqual(await page.locator("li span").allTextContents(), ["From before", "hello!"]);
  return { ana, bob };
}

const there = (page) => page.getByLabel("Online").filter({ hasText: /^ana$/ }).waitFor({ timeout: 25_000 });

describe("an application of Next.js that moves from Socket.IO as the manual says", { timeout: 900_000 }, () => {
  const bellhop = new Bellhop();
  let browser, app;
  before(async () => {
    await mkdir(dir, { recursive: true });
    for (const name of await readdir(dir)) if (name !== "node_modules") await rm(join(dir, name), { recursive: true });
    await cp(join(root, "web/next"), dir, { recursive: true });
    await bellhop.start();
    app = new App(await freePort(), { NEXT_PUBLIC_BELLHOP_URL: bellhop.ws, BELLHOP_ENDPOINT: bellhop.url, BELLHOP_JWT_SECRET: SECRET });
    await run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline"], { cwd: dir });
    browser = await launch();
  }, { timeout: 300_000 });
  after(async () => {
    app?.stop();
    await browser?.close();
    await bellhop.end();
  });

  test("before, with its Socket.IO server, two people chat, see each other type and come, and are notified", async (t) => {
    app.env.DIST_DIR = ".next-before";
    await app.build(t.signal);
    await app.start(t.signal);
    t.after(app.stop);
    const { ana, bob } = await talk(new Windows(t, browser, app), app);
    await bob.context().close();
    await there(ana);
    await ana.context().close();
    await rm(join(dir, app.env.DIST_DIR), { recursive: true });
  });

  test("its manual is followed", async () => {
    await run("npm", ["pack", "--silent", "--pack-destination", dir], { cwd: join(root, "web/client") });
    await run(bellhop.binary, ["init", dir], { cwd: root });
    const written = await Promise.all(INIT.map((path) => readFile(join(dir, path), "utf8")));
    await mkdir(join(dir, "app/api/guest"), { recursive: true });
    await cp(join(root, "internal/local/nextapp/files/route.guest.ts"), join(dir, "app/api/guest/route.ts")); // for those who have no sessions
    const steps = blocks(await readFile(join(root, "docs/MIGRATION.md"), "utf8"), "## Step by step, for a Next.js application");
    const did = await follow(dir, steps, app.env);
    assert.equal(did.length, 15, did.join(", "));
    assert.deepEqual(await Promise.all(INIT.map(async (path) => (await readFile(join(dir, path), "utf8")).split("\n").slice(1).join("\n"))), written);
    assert.match(await readFile(join(dir, ".env.local"), "utf8"), /^NEXT_PUBLIC_BELLHOP_URL=ws:/);
    await mkdir(join(dir, "app/api/edge"));
    await writeFile(join(dir, "app/api/edge/route.ts"), EDGE);
  });

  for (const [bundler, ...flags] of [["Turbopack"], ["webpack", "--webpack"]]) {
    test(`built with ${bundler}, two people chat, see each other type and come, and are notified`, async (t) => {
      app.env.DIST_DIR = `.next-${bundler}`;
      const said = await app.build(t.signal, ...flags);
      assert.doesNotMatch(said, /aws-sdk|Module not found|with warnings/i);
      await app.start(t.signal);
      t.after(app.stop);
      const edge = await fetch(`${app.url}/api/edge`).then((response) => response.json());
      assert.equal(edge.seq, 1);
      const socket = new WebSocket(bellhop.ws, ["bellhop.v1", `bearer.${edge.token}`]);
      await once(socket, "open");
      socket.close();
      const token = await fetch(`${app.url}/api/guest`).then((response) => response.text());
      assert.match(JSON.parse(Buffer.from(token.split(".")[1], "base64url")).sub, /^guest-/);
      const { ana, bob } = await talk(new Windows(t, browser, app, bellhop), app);
      await screenshot(ana, `next-${bundler}`);
      await bob.context().close();
      await there(ana);
      await ana.context().close();
      await bellhop.forget();
    });
  }

  test("an action that has written its row is not thrown away when Bellhop is down: it goes on after two seconds", async (t) => {
    await app.start(t.signal);
    t.after(app.stop);
    const windows = new Windows(t, browser, app, bellhop);
    windows.tolerated = /WebSocket|ERR_CONNECTION_REFUSED|Bellhop: No connection/;
    const ana = await open(windows, app, "ana");
    await bellhop.stop();
    const began = performance.now();
    await say(ana, "nobody hears");
    await until(async () => (await ana.getByLabel("Message").inputValue()) === "", "answer of the action");
    assert.ok(performance.now() - began < 8_000);
    assert.match(app.said, /Bellhop was not told by newMessage/);
    await ana.reload();
    await said(ana, "nobody hears").waitFor();
    assert.deepEqual(await ana.locator("li span").allTextContents(), ["From before", "nobody hears"]);
  });
});
