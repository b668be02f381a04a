import { createContext, runInContext } from "node:vm";
import { fileURLToPath } from "node:url";
import { build, type Rolldown } from "vite";
import { expect, test } from "vitest";
import * as edge from "../../src/server/edge.js";
import * as node from "../../src/server/index.js";
import { startBellhop } from "../emulator.js";

/** A program of one file, as a bundler makes it for a runtime of the edge, and what it imports. */
async function bundle(entry: "edge" | "index") {
  const built = (await build({
    configFile: false,
    logLevel: "silent",
    build: {
      write: false,
      minify: false,
      lib: { entry: fileURLToPath(new URL(`../../src/server/${entry}.ts`, import.meta.url)), formats: ["iife"], name: "server" },
      rolldownOptions: { external: [/^@aws-sdk\//] },
    },
  })) as Rolldown.RolldownOutput[];
  const { code, imports, dynamicImports } = built[0]!.output[0];
  return { code, needs: [...imports, ...dynamicImports] };
}

test("what is built for the edge has no import of the AWS SDK, what is built for Node has two", async () => {
  expect((await bundle("edge")).needs).toEqual([]);
  expect((await bundle("index")).needs).toEqual(["@aws-sdk/client-lambda", "@aws-sdk/client-sqs"]);
});

test("both have the same names, and for the edge the SDK is handed over", async () => {
  expect(Object.keys(edge).sort()).toEqual(Object.keys(node).sort());
  const sent: unknown[] = [];
  const client = { send: (command: object) => Promise.resolve((sent.push(command), { Payload: new TextEncoder().encode('{"ok":true,"data":{}}') })) };
  class Given {
    constructor(readonly input: object) {}
    send = client.send;
  }
  const sdk = { LambdaClient: Given, InvokeCommand: Given, SQSClient: Given, SendMessageBatchCommand: Given };
  await edge.createEmitter(edge.lambda({ functionName: "emit", sdk })).newMessage("edge", { content: "hi" });
  await edge.createEmitter(edge.sqs({ queueUrl: "https://queue", sdk })).newMessage("edge", { content: "hi" });
  expect(sent).toMatchObject([{ input: { FunctionName: "emit" } }, { input: { QueueUrl: "https://queue" } }]);
  for (const [env, name] of [[{ BELLHOP_EMIT_FUNCTION: "emit" }, "lambda"], [{ BELLHOP_EMIT_QUEUE_URL: "https://queue" }, "sqs"]] as const) {
    const emitter = edge.createEmitter(edge.fromEnvironment(() => env));
    await expect(emitter.newMessage("edge", { content: "hi" })).rejects.toMatchObject({
      code: "config", message: expect.stringContaining(`import * as sdk from "@aws-sdk/client-${name}"`),
    });
  }
});

test("http and socketEvents run where there is nothing of Node: no modules, no process, no Buffer", async () => {
  const bellhop = await startBellhop();
  try {
    const globals = { fetch, URL, TextEncoder, TextDecoder, AbortSignal, crypto, setTimeout, endpoint: bellhop.http, outcome: Promise.resolve<unknown>(0) };
    const context = createContext(globals);
    runInContext((await bundle("edge")).code, context);
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
