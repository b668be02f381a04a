import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test, type TestContext } from "vitest";
import { build } from "vite";
import { WebSocket } from "ws";
import type * as Package from "../../src/index.js";
import type { Joined, RoomEvent } from "../../src/index.js";
import type * as Server from "../../src/server/index.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";

/** The newest commit whose programs are kept to: internal/check/upgrade. */
const commit = "556b6f9";
const root = fileURLToPath(new URL("../../../..", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "bellhop-client-"));
let bellhop: Bellhop;

/** An entry of the package as it was then. */
async function then<T>(entry: string): Promise<T> {
  const outDir = join(dir, entry);
  await build({
    root: dir, configFile: false, logLevel: "error",
    resolve: { alias: { "partysocket/ws": fileURLToPath(import.meta.resolve("partysocket/ws")) } },
    build: { outDir, emptyOutDir: true, minify: false, ssr: join(dir, "web/client/src", entry), rollupOptions: { output: { entryFileNames: "index.mjs" } } },
    ssr: { noExternal: true, external: ["@aws-sdk/client-lambda", "@aws-sdk/client-sqs"] },
  });
  return (await import(pathToFileURL(join(outDir, "index.mjs")).href)) as T;
}

function unpack(): boolean {
  try {
    const archive = execFileSync("git", ["archive", commit, "web/client/src", "web/client/package.json"], { cwd: root, maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "ignore"] });
    execFileSync("tar", ["-x", "-C", dir], { input: archive });
    return true;
  } catch (err) {
    if (process.env.CI) throw new Error(`commit ${commit} is not in this clone: fetch the whole history, git fetch --unshallow`, { cause: err });
    return false;
  }
}
const there = unpack();

beforeAll(async () => {
  bellhop = await startBellhop("--memory", "--parameter", "PresenceGrace=300ms");
});
afterAll(async () => {
  await bellhop.end();
  rmSync(dir, { recursive: true, force: true });
});

/** Without the history there is nothing to test with. */
function needsHistory({ skip }: TestContext): void {
  skip(!there, `commit ${commit} is not in this clone: git fetch --unshallow`);
}

test("a page that was loaded then talks to the server of now, is cut off and misses nothing", async (context) => {
  needsHistory(context);
  const { connect } = await then<typeof Package>("index.ts");
  const open = (user: string) => connect(bellhop.ws, { token: () => bellhop.token(user), WebSocket, maxDelay: 500 });
  const ana = open("ana"), bob = open("bob");
  context.onTestFinished(() => (ana.close(), bob.close()));
  const heard: string[] = [], joins: Joined[] = [];
  const room = ana.join("channel:42");
  room.on("message:new", (e) => heard.push(String(e.data.content)));
  room.onJoined((j) => joins.push(j));
  await until(() => joins.length === 1);
  const his = bob.join("channel:42");
  await his.publish("message:new", { content: "one" });
  await until(() => heard.length === 1);
  await bellhop.cut("ana");
  await his.publish("message:new", { content: "two" });
  await until(() => joins.length === 2);
  expect(heard).toEqual(["one", "two"]);
  expect(joins[1]).toMatchObject({ recovered: true, first: false });
  const lobby = ana.join("community:7");
  const hers = bob.join("community:7");
  await until(() => lobby.present.has("bob") && hers.present.has("ana"));
  await ana.presence("away", { mood: "calm" });
  await until(() => hers.present.get("ana")?.status === "away");
  hers.leave();
  await until(() => !lobby.present.has("bob"));
  expect((await room.history({ limit: 1 })).events.map((e: RoomEvent) => e.data)).toEqual([{ content: "two" }]);
  await expect(ana.call("dance")).rejects.toMatchObject({ code: "unknown_action", retry: false });
});

test("a server that was built then emits, asks and tells", async (context) => {
  needsHistory(context);
  const { createEmitter, http } = await then<typeof Server>("server/index.ts");
  const emitter = createEmitter(http({ endpoint: bellhop.http }));
  const { results } = await emitter.newMessage("7", { content: "hi" }, { id: "m1" });
  expect(results).toMatchObject([{ room: "channel:7", seq: 1, id: "m1" }]);
  await emitter.messageDeleted("7", "m1");
  expect((await emitter.history("channel:7")).events).toMatchObject([{ id: "m1", data: null }, { event: "message:deleted" }]);
  expect(await emitter.members("channel:7")).toEqual({ room: "channel:7", members: [], more: false });
  await emitter.to("channel:7").except("ana").emit("news", 1);
  await expect(emitter.presence("channel:7")).rejects.toMatchObject({ name: "EmitError", code: "bad_request", retry: false });
  await emitter.close("channel:7");
});

test("what could be imported then can be imported now", (context) => {
  needsHistory(context);
  const of = (file: string) => JSON.parse(readFileSync(file, "utf8")) as { exports: object; peerDependencies: object };
  const was = of(join(dir, "web/client/package.json")), is = of(join(root, "web/client/package.json"));
  expect(is.exports).toMatchObject(was.exports);
  expect(is.peerDependencies).toMatchObject(was.peerDependencies);
});
