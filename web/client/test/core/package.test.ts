import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { publint } from "publint";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import type { connect } from "../../src/index.js";
import { newId } from "../../src/requests.js";
import { startBellhop, until } from "../emulator.js";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");
const dir = mkdtempSync(join(tmpdir(), "bellhop-package-"));
const unpacked = join(dir, "package");
let tarball: string;
beforeAll(async () => {
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", dir], { cwd: root });
  tarball = join(dir, stdout.trim().split("\n").at(-1)!);
  await run("tar", ["-xzf", tarball, "-C", dir]);
});
afterAll(() => rmSync(dir, { recursive: true }));

describe("what npm installs", () => {
  test("has its licence, and says where it comes from", () => {
    expect(readFileSync(join(unpacked, "LICENSE"), "utf8")).toBe(readFileSync(join(root, "../../LICENSE"), "utf8"));
    const { repository, homepage, bugs, license } = JSON.parse(readFileSync(join(unpacked, "package.json"), "utf8"));
    expect({ repository, homepage, bugs, license }).toEqual({
      repository: { type: "git", url: "git+https://github.com/bellhop-rt/bellhop.git", directory: "web/client" },
      homepage: expect.stringContaining("github.com/bellhop-rt/bellhop"), bugs: expect.stringContaining("/issues"), license: "MIT",
    });
  });

  test("has no link that leads out of it", () => {
    const links = [...readFileSync(join(unpacked, "README.md"), "utf8").matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link!);
    expect(links.filter((link) => !/^https:|^#/.test(link) && !existsSync(join(unpacked, link)))).toEqual([]);
    expect(links.length).toBeGreaterThan(1);
  });

  test("shows its sources to debuggers", () => {
    const scripts = readdirSync(join(unpacked, "dist"), { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".js"));
    expect(scripts.length).toBeGreaterThan(20);
    for (const file of scripts) {
      const { sources, sourcesContent } = JSON.parse(readFileSync(join(unpacked, "dist", `${file}.map`), "utf8"));
      expect(sourcesContent, file).toHaveLength(sources.length);
      expect(sourcesContent.every((source: unknown) => typeof source === "string"), file).toBe(true);
    }
  });

  test("publint has nothing to say of it", async () => {
    const { messages } = await publint({ pkgDir: unpacked, strict: true, pack: false });
    expect(messages).toEqual([]);
  });

  test("its types are found by bundlers and by Node, as ES modules", { timeout: 60_000 }, async () => {
    // It exits with 1 where it finds a problem.
    const { stdout } = await run(join(root, "../node_modules/.bin/attw"), [tarball, "--profile", "esm-only", "--format", "table-flipped", "--no-color", "--no-emoji"]);
    for (const entry of ["", "/react", "/socketio", "/schemas", "/server", "/testing", "/browser"]) expect(stdout).toMatch(new RegExp(`"@bellhop/client${entry}" +│ OK \\(ESM\\) +│ OK +│`));
  });

  test("has another file for servers at the edge, which bundlers find by their condition", async () => {
    const where = async (...flags: string[]) =>
      (await run(process.execPath, [...flags, "--input-type=module", "-e", 'console.log(import.meta.resolve("@bellhop/client/server"))'], { cwd: unpacked })).stdout.trim();
    expect(await where("--conditions=edge-light")).toMatch(/\/dist\/server\/edge\.js$/);
    expect(await where()).toMatch(/\/dist\/server\/index\.js$/);
  });

  test("is one file for a page without a bundler, which connects", async () => {
    const file = join(unpacked, "dist/browser.js");
    expect(readFileSync(file, "utf8")).not.toMatch(/^\s*import\b|\bfrom\s*["']/m);
    const client = (await import(/* @vite-ignore */ file)) as { connect: typeof connect };
    const bellhop = await startBellhop("--memory");
    try {
      const ana = client.connect(bellhop.ws, { token: () => bellhop.token("ana"), WebSocket });
      const room = ana.join("channel:1");
      await until(() => room.joined);
      expect((await room.publish("message:new", { content: "hi" })).seq).toBe(1);
      ana.close();
    } finally {
      await bellhop.end();
    }
  });
});

test("where there is no crypto, as in React Native, ids are new all the same", () => {
  vi.stubGlobal("crypto", undefined);
  try {
    expect(new Set(Array.from({ length: 1_000 }, newId)).size).toBe(1_000);
  } finally {
    vi.unstubAllGlobals();
  }
});
