import { createServer, type IncomingMessage } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { createEmitter, http, lambda, sqs, type AwsClient, type Emitter, type Transport } from "../../src/server/index.js";

const enough = new Error("enough");
const calls = (emitter: Emitter): Promise<unknown>[] => [
  emitter.newMessage(1, { content: "hi" }), emitter.newNotification(["ana"], { title: "Hi" }), emitter.publish({ event: "n", rooms: ["channel:1"] }),
  emitter.publishAll({ event: "n", rooms: ["channel:1"] }), emitter.presence("community:1"), emitter.members("channel:1"), emitter.history("channel:1"), emitter.stats(),
  emitter.disconnect({ user: "ana" }), emitter.join("ana", "channel:1"), emitter.leave("ana", "channel:1"), emitter.close("channel:1"),
  emitter.to("channel:1").emit("n"), emitter.to("channel:1").emitWithAck("n"), emitter.to("channel:1").fetchSockets(),
  emitter.to("channel:1").socketsJoin("channel:2"), emitter.to("channel:1").disconnectSockets(),
];

test("calls that are given up before send nothing, and those under way reject, whatever their transport does", async () => {
  let sent = 0;
  const deaf: Transport = { answers: true, send: () => (sent++, new Promise(() => {})) };
  const emitter = createEmitter(deaf);
  for (const call of calls(emitter.until(AbortSignal.abort(enough)))) await expect(call).rejects.toBe(enough);
  expect(sent).toBe(0);
  const stop = new AbortController();
  const under = calls(emitter.until(AbortSignal.timeout(60_000)).until(stop.signal));
  const settled = Promise.allSettled(under);
  stop.abort(enough);
  expect((await settled).map((result) => (result as PromiseRejectedResult).reason)).toEqual(under.map(() => enough));
  expect(sent).toBe(under.length);
});

test("the request of http is given up with the call, and none follows it", async () => {
  const requests: IncomingMessage[] = [];
  const silent = createServer((request) => void requests.push(request));
  await once(silent.listen(0, "127.0.0.1"), "listening");
  try {
    const stop = new AbortController();
    const emitter = createEmitter(http({ endpoint: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`, delay: 1 }));
    const asked = expect(emitter.until(stop.signal).stats()).rejects.toBe(enough);
    await once(silent, "request");
    const closed = new Promise((resolve) => requests[0]!.on("error", () => {}).on("close", resolve));
    stop.abort(enough);
    await asked;
    await closed;
    await new Promise((done) => setTimeout(done, 50));
    expect(requests).toHaveLength(1);
  } finally {
    silent.closeAllConnections();
    silent.close();
  }
});

test("so is that of AWS's clients", async () => {
  const signals: AbortSignal[] = [];
  const client: AwsClient = {
    send: (_, { abortSignal } = {}) => new Promise((_, reject) => {
      signals.push(abortSignal!);
      abortSignal!.addEventListener("abort", () => reject(Object.assign(new Error("aborted"), { name: "AbortError" })));
    }),
  };
  for (const transport of [lambda({ functionName: "emit", client, delay: 1 }), sqs({ queueUrl: "https://queue", client, delay: 1 })]) {
    const stop = new AbortController();
    const told = expect(createEmitter(transport).until(stop.signal).newMessage(1, { content: "hi" })).rejects.toBe(enough);
    while (!signals.at(-1) || signals.at(-1)!.aborted) await new Promise((done) => setTimeout(done, 5));
    stop.abort(enough);
    await told;
    await new Promise((done) => setTimeout(done, 50));
  }
  expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
});
