import { createContext, runInContext } from "node:vm";
import { fileURLToPath } from "node:url";
import { build, type Rolldown } from "vite";
import { expect, test } from "vitest";
import { startBellhop } from "../emulator.js";

/** A program of one file, as a bundler makes it for a runtime that has no AWS SDK. */
async function bundle(): Promise<string> {
  const entry = fileURLToPath(new URL("../../src/server/index.ts", import.meta.url));
  const built = (await build({
    configFile: false,
    logLevel: "silent",
    build: {
      write: false,
      minify: false,
      lib: { entry, formats: ["iife"], name: "server" },
      rolldownOptions: { external: [/^@aws-sdk\//] },
    },
  })) as Rolldown.RolldownOutput[];
  return built[0]!.output[0].code;
}

test("http and socketEvents run where there is nothing of Node: no modules, no process, no Buffer", async () => {
  const bellhop = await startBellhop();
  try {
    const globals = { fetch, URL, TextEncoder, TextDecoder, AbortSignal, crypto, setTimeout, endpoint: bellhop.http, outcome: Promise.resolve<unknown>(0) };
    const context = createContext(globals);
    runInContext(await bundle(), context);
    runInContext(
      `outcome = (async () => {
        const emitter = server.createEmitter(server.http({ endpoint }));
        const { results } = await emitter.newMessage("edge", { content: "hi" });
        const error = await server.socketEvents.newMessage("edge", { content: "hi" }).catch((thrown) => thrown);
        return JSON.stringify({ seq: results[0].seq, code: error.code });
      })()`,
      context,
    );
    expect(JSON.parse(String(await globals.outcome))).toEqual({ seq: 1, code: "config" });
  } finally {
    await bellhop.end();
  }
}, 120_000);
