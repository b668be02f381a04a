import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Rolldown } from "vite";
import { expect, test, vi } from "vitest";

const root = join(import.meta.dirname, "../..");

/** What a page that uses an entry loads of it. */
async function bundle(code: string, external: string[] = []): Promise<Rolldown.OutputChunk[]> {
  const entry = "\0entry";
  const built = (await build({
    root, configFile: false, logLevel: "error",
    plugins: [{
      name: "entry",
      resolveId: (id) => (id === entry ? id : undefined),
      load: (id) => (id === entry ? code.replaceAll("src/", `${root}/src/`) : undefined),
    }],
    build: { write: false, minify: true, rollupOptions: { external, input: entry, preserveEntrySignatures: "strict" } },
  })) as Rolldown.RolldownOutput;
  return built.output.filter((chunk) => chunk.type === "chunk");
}

/** Its size, minified and gzipped, in bytes. */
async function size(code: string, external: string[] = []): Promise<number> {
  return gzipSync((await bundle(code, external)).map((chunk) => chunk.code).join("")).length;
}

/** The files of the hooks that are in it. */
async function hooks(...names: string[]): Promise<string[]> {
  const chunks = await bundle(`export { BellhopProvider, ${names.join(", ")} } from "src/react/index.ts"`, ["react", "react/jsx-runtime"]);
  const modules = chunks.flatMap((chunk) => Object.entries(chunk.modules)).filter(([, { renderedLength }]) => renderedLength > 0);
  return modules.flatMap(([file]) => file.split("/src/react/")[1] ?? []).map((file) => file.replace(/\.tsx?$/, "")).sort();
}

test("the sizes are as the README says, and the core has at most 10 KB", { timeout: 60_000 }, async () => {
  vi.stubEnv("NODE_ENV", "production"); // otherwise JSX says where it comes from
  const react = ["react", "react/jsx-runtime"];
  const core = await size(`export * from "src/index.ts"`);
  const entries = {
    "@bellhop/client": core,
    "@bellhop/client/react": (await size(`export * from "src/react/index.ts"; export * from "src/index.ts"`, react)) - core,
    "@bellhop/client/socketio": (await size(`export * from "src/socketio.ts"; export * from "src/index.ts"`)) - core,
    "@bellhop/client/schemas": (await size(`export * from "src/schemas.ts"; export * from "src/index.ts"`)) - core,
    "@bellhop/client/server": await size(`export * from "src/server/index.ts"`, ["@aws-sdk/client-lambda", "@aws-sdk/client-sqs"]),
  };
  const testing = await size(`export * from "src/testing/index.ts"`, ["@aws-sdk/client-lambda", "@aws-sdk/client-sqs"]);
  expect(testing, "an entry that only tests load").toBeGreaterThan(core);
  const readme = readFileSync(join(root, "README.md"), "utf8");
  for (const [name, bytes] of Object.entries(entries)) {
    const said = Number(new RegExp(`\`${name}\` \\|.*\\| ([\\d.]+) KB`).exec(readme)?.[1]);
    expect(Math.abs(said - bytes / 1024), `${name} has ${(bytes / 1024).toFixed(1)} KB, the README says ${said}`).toBeLessThan(0.15);
  }
  expect(core).toBeLessThanOrEqual(10 * 1024);
});

test("a page that uses one hook loads what that hook needs, and no other's store", { timeout: 60_000 }, async () => {
  vi.stubEnv("NODE_ENV", "production");
  const react = ["react", "react/jsx-runtime"];
  const core = await size(`export { connect } from "src/index.ts"`);
  const withHook = async (...names: string[]) => (await size(`export { BellhopProvider, ${names.join(", ")} } from "src/react/index.ts"`, react)) - core;
  const [socket, chat, all] = [await withHook("useSocket"), await withHook("useChatSocket"), await size(`export * from "src/react/index.ts"`, react) - core];
  expect(socket, `useSocket adds ${socket} bytes`).toBeLessThan(1.4 * 1024);
  expect(chat).toBeGreaterThan(socket + 2_000);
  expect(all).toBeGreaterThan(chat + 1_000);
  const shared = ["hooks", "provider", "session", "store"];
  expect(await hooks("useSocket")).toEqual(shared);
  expect(await hooks("useSocketEvent")).toEqual(shared);
  expect(await hooks("useRoom")).toEqual([...shared, "room"].sort());
  expect(await hooks("useChatSocket")).toEqual([...shared, "chat", "log", "room", "rows", "typing"].sort());
  expect(await hooks("usePresenceSocket")).toEqual([...shared, "presence", "room"].sort());
});
