import { LambdaClient } from "@aws-sdk/client-lambda";
import { SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { EmitError, createEmitter, fromEnvironment, http, lambda, sqs, type Emitter, type Transport } from "../../src/server/index.js";
import { startBellhop, type Bellhop } from "../emulator.js";
import { Listener } from "./listener.js";
import { startGateway, throttled, timedOut } from "./gateway.js";
import { startQueue, type Refusal } from "./sqs.js";

const aws = { region: "eu-west-1", credentials: { accessKeyId: "AKID", secretAccessKey: "SECRET" } };

let bellhop: Bellhop;
let gateway: Awaited<ReturnType<typeof startGateway>>;
let direct: Emitter; // to look at what became of things

beforeAll(async () => {
  bellhop = await startBellhop();
  gateway = await startGateway(bellhop.http);
  direct = createEmitter(http({ endpoint: bellhop.http }));
}, 120_000);
afterAll(async () => {
  gateway.stop();
  await bellhop.end();
});
beforeEach(() => gateway.clear());

async function refused(call: Promise<unknown>): Promise<EmitError> {
  const error = await call.then(() => undefined, (thrown: unknown) => thrown);
  if (!(error instanceof EmitError)) throw new Error(`got ${String(error)}, want an EmitError`);
  return error;
}

const lambdaClient = (maxAttempts: number) => new LambdaClient({ ...aws, endpoint: gateway.endpoint, maxAttempts });

describe.each<[string, (timeout?: number) => Transport]>([
  ["http", (timeout = 20_000) => http({ endpoint: `${gateway.endpoint}/`, delay: 1, timeout })],
  ["lambda, over a client that tries once", (timeout = 20_000) => lambda({ functionName: "emit", client: lambdaClient(1), delay: 1, timeout })],
  ["lambda, over a client that tries again by itself", (timeout = 20_000) => lambda({ functionName: "emit", client: lambdaClient(3), delay: 1, timeout })],
])("%s", (name, make) => {
  const room = `channel:${name.replace(/\W/g, "-")}`;
  const emitter = (timeout?: number) => createEmitter(make(timeout));

  test("publishes, and answers", async () => {
    const { id, results } = await emitter().publish({ event: "n", rooms: [`${room}-1`], data: "ü" });
    expect(results).toMatchObject([{ room: `${room}-1`, seq: 1, id }]);
    expect((await emitter().history(`${room}-1`)).events).toMatchObject([{ id, data: "ü" }]);
    expect(gateway.kinds).toEqual(["RequestResponse", "RequestResponse"]);
  });

  test("several publishes are one request, of up to ten", async () => {
    const outcomes = await emitter().publishAll(...Array.from({ length: 12 }, (_, i) => ({ event: "n", rooms: [`${room}-2`], data: i })));
    expect(outcomes.map(({ results }) => results[0]!.seq)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(gateway.bodies.map((body) => (JSON.parse(body) as unknown[]).length)).toEqual([10, 2]);
  });

  test("what is throttled, fails or is cut off is sent again as it was, and is logged once", async () => {
    gateway.faults.push(throttled, "cut after");
    const { id, results } = await emitter().publish({ event: "n", rooms: [`${room}-3`] });
    expect(results).toMatchObject([{ seq: 1, id }]);
    expect(gateway.bodies).toHaveLength(3);
    expect(new Set(gateway.bodies).size).toBe(1);
    expect((await direct.history(`${room}-3`)).events).toHaveLength(1);
  });

  test("it gives up after three attempts, and names the id to go on with", async () => {
    gateway.faults.push(throttled, { status: 500 }, throttled);
    const error = await refused(emitter().publish({ event: "n", rooms: [`${room}-4`] }));
    expect(error).toMatchObject({ code: "throttled", retry: true, results: [] });
    expect(gateway.bodies).toHaveLength(3);
    expect(gateway.bodies[0]).toContain(error.id);
    const again = await emitter().publish({ event: "n", rooms: [`${room}-4`], id: error.id! });
    expect(again.results).toMatchObject([{ seq: 1, id: error.id }]);
  });

  test("a server that cannot be reached is an error of the network", async () => {
    gateway.faults.push("cut", "cut", "cut");
    expect(await refused(emitter().presence("community:1"))).toMatchObject({ code: "network", retry: true });
    expect(gateway.bodies).toHaveLength(3);
  });

  test("a function that fails is not run again, and its error is told", async () => {
    gateway.faults.push(timedOut);
    const error = await refused(emitter().publish({ event: "n", rooms: [`${room}-5`] }));
    expect(error).toMatchObject({ code: "function", retry: true, message: expect.stringMatching(/emit .*Sandbox.Timedout: Task timed out/) });
    expect(error.id).toMatch(/./);
    expect(gateway.bodies).toHaveLength(1);
  });

  test("answers that no emit function gives are errors", async () => {
    gateway.faults.push({ status: 200 }, { status: 200, body: "null" }, { status: 200, body: "<html>" }, { status: 200, body: '{"ok":true}' });
    expect(await refused(emitter().presence("community:1"))).toMatchObject({ code: "function", message: expect.stringContaining("answered nothing") });
    expect(await refused(emitter().presence("community:1"))).toMatchObject({ code: "function", message: expect.stringContaining("null") });
    expect(await refused(emitter().presence("community:1"))).toMatchObject({ code: "function", message: expect.stringContaining("<html>") });
    const two = { event: "n", rooms: [`${room}-6`] };
    expect((await emitter().publishAll(two, two)).map(({ error }) => error?.code)).toEqual(["function", "function"]);
  });

  test("a refusal of everything is an answer to each", async () => {
    gateway.faults.push({ status: 200, body: '{"ok":false,"error":{"code":"unavailable","message":"later","retry":true}}' });
    const one = { event: "n", rooms: [`${room}-7`] };
    const outcomes = await emitter().publishAll(one, one);
    expect(outcomes.map(({ error }) => [error?.code, error?.retry])).toEqual([["unavailable", true], ["unavailable", true]]);
  });

  test("what is not allowed is not tried again", async () => {
    gateway.faults.push({ status: 403, headers: { "x-amzn-ErrorType": "AccessDeniedException" }, body: '{"Message":"not authorized"}' });
    const error = await refused(emitter().publish({ event: "n", rooms: [`${room}-8`] }));
    expect(error).toMatchObject({ code: "refused", retry: false, message: expect.stringContaining("not authorized") });
    expect(gateway.bodies).toHaveLength(1);
  });

  test("what takes too long is given up", async () => {
    gateway.faults.push("hang");
    const begin = Date.now();
    expect(await refused(emitter(50).presence("community:1"))).toMatchObject({ code: "timeout", retry: true });
    expect(Date.now() - begin).toBeLessThan(5_000);
    expect(gateway.bodies).toHaveLength(1);
  });

  test("after a request that failed nothing is sent, so that the order is kept", async () => {
    gateway.faults.push({ status: 403 });
    const outcomes = await emitter().publishAll(...Array.from({ length: 11 }, (_, i) => ({ event: "n", rooms: [`${room}-9`], id: `n${i}` })));
    expect(outcomes.map(({ error }) => error?.code)).toEqual(Array.from({ length: 11 }, () => "refused"));
    expect(outcomes[10]!.error!.message).toContain("a command before it failed");
    expect(gateway.bodies).toHaveLength(1);
  });
});

describe("lambda", () => {
  test("without waiting: events arrive, and what asks something fails before it is sent", async () => {
    const emitter = createEmitter(lambda({ functionName: "emit", client: lambdaClient(1), async: true }));
    const ana = await Listener.open(bellhop, "ana", "channel:async");
    expect(await emitter.newMessage("async", { content: "hi" }, { id: "a1" })).toEqual({ id: "a1", results: [] });
    await ana.event("message:new", "a1");
    ana.close();
    expect(gateway.kinds).toEqual(["Event"]);
    for (const call of [emitter.presence("community:1"), emitter.members("channel:1"), emitter.history("channel:1")]) {
      expect(await refused(call)).toMatchObject({ code: "no_answer", retry: false });
    }
    expect(await emitter.disconnect({ user: "nobody" })).toBe(0);
    expect(gateway.bodies).toHaveLength(2);
  });

  test("takes anything that sends commands as a client does", async () => {
    const sent: object[] = [];
    const client = {
      async send(command: object) {
        sent.push((command as { input: object }).input);
        return { Payload: new TextEncoder().encode('{"ok":true,"data":{"room":"community:1","presence":[]}}') };
      },
    };
    expect(await createEmitter(lambda({ functionName: "arn:of:emit", client })).presence("community:1")).toEqual([]);
    expect(sent).toMatchObject([{ FunctionName: "arn:of:emit", InvocationType: "RequestResponse" }]);
  });

  test("credentials that are missing are no reason to try again", async () => {
    const credentials = () => Promise.reject(Object.assign(new Error("Could not load credentials"), { name: "CredentialsProviderError" }));
    const client = new LambdaClient({ region: "eu-west-1", endpoint: gateway.endpoint, credentials });
    const error = await refused(createEmitter(lambda({ functionName: "emit", client })).presence("community:1"));
    expect(error).toMatchObject({ code: "refused", retry: false, message: expect.stringContaining("Could not load credentials") });
    expect(gateway.bodies).toEqual([]);
  });
});

describe("sqs", () => {
  let queue: Awaited<ReturnType<typeof startQueue>>;
  let client: SQSClient;
  beforeAll(async () => {
    queue = await startQueue(bellhop.http);
    client = new SQSClient({ ...aws, endpoint: queue.origin, maxAttempts: 1 });
  });
  afterAll(() => queue.stop());
  beforeEach(() => {
    queue.batches.length = 0;
    queue.failures.length = 0;
    queue.refuse.clear();
  });
  const emitter = () => createEmitter(sqs({ queueUrl: queue.url, client, delay: 1 }));
  const many = (n: number, room: string, data: unknown = 0) =>
    Array.from({ length: n }, (_, i) => ({ event: "n", rooms: [room], id: `many-${i}-`, data }));
  const later: Refusal = { Code: "ServiceUnavailable", Message: "later", SenderFault: false };
  const never: Refusal = { Code: "InvalidMessageContents", Message: "never", SenderFault: true };

  test("events arrive; there are no results, and what asks something fails before it is sent", async () => {
    const ana = await Listener.open(bellhop, "ana");
    expect(await emitter().newNotification("ana", { title: "hi" }, { id: "s1" })).toEqual({ id: "s1", results: [] });
    expect((await ana.event("notification:new", "s1")).data).toEqual({ title: "hi" });
    ana.close();
    expect(await emitter().join("nobody", "channel:1")).toBe(0);
    await emitter().close("channel:sqs-1");
    expect(queue.batches.map((batch) => batch.length)).toEqual([1, 1, 1]);
    for (const call of [emitter().presence("community:1"), emitter().members("channel:1"), emitter().history("channel:1")]) {
      expect(await refused(call)).toMatchObject({ code: "no_answer" });
    }
    expect(queue.batches).toHaveLength(3);
  });

  test("many are batches of ten, and of 256 KB", async () => {
    await emitter().publishAll(...many(23, "channel:sqs-2"));
    expect(queue.batches.map((batch) => batch.length)).toEqual([10, 10, 3]);
    const { events } = await direct.history("channel:sqs-2", { limit: 50 });
    expect(new Set(events.map(({ id }) => id)).size).toBe(23);

    queue.batches.length = 0;
    await emitter().publishAll(...many(5, "channel:sqs-3", "a".repeat(100 * 1024)));
    expect(queue.batches.map((batch) => batch.length)).toEqual([2, 2, 1]);
  });

  test("what the queue refuses for now is sent again, alone and as it was", async () => {
    queue.refuse.set("many-3-", [later]);
    queue.refuse.set("many-5-", [later, later]);
    const outcomes = await emitter().publishAll(...many(10, "channel:sqs-4"));
    expect(outcomes.every(({ error }) => error === undefined)).toBe(true);
    expect(queue.batches.map((batch) => batch.length)).toEqual([10, 2, 1]);
    expect(queue.batches[2]![0]!.MessageBody).toBe(queue.batches[0]![5]!.MessageBody);
    expect((await direct.history("channel:sqs-4")).seq).toBe(10);
  });

  test("what it refuses for good, or too often, is told apart from the rest", async () => {
    queue.refuse.set("many-1-", [later, later, later]);
    queue.refuse.set("many-2-", [never]);
    const outcomes = await emitter().publishAll(...many(4, "channel:sqs-5"));
    expect(outcomes.map(({ error }) => [error?.code, error?.retry])).toEqual([
      [undefined, undefined], ["throttled", true], ["refused", false], [undefined, undefined],
    ]);
    expect(outcomes[2]!.error!.message).toContain("InvalidMessageContents: never");
    expect(queue.batches.map((batch) => batch.length)).toEqual([4, 1, 1]);
  });

  test("requests that fail are tried three times; those that can never work once", async () => {
    queue.failures.push({ status: 503, type: "ServiceUnavailable" }, { status: 400, type: "ThrottlingException" });
    expect((await emitter().publish({ event: "n", rooms: ["channel:sqs-6"] })).results).toEqual([]);
    expect((await direct.history("channel:sqs-6")).seq).toBe(1);

    const elsewhere = createEmitter(sqs({ queueUrl: `${queue.url}-2`, client, delay: 1 }));
    const error = await refused(elsewhere.publish({ event: "n", rooms: ["channel:sqs-7"] }));
    expect(error).toMatchObject({ code: "refused", retry: false, message: expect.stringContaining("QueueDoesNotExist") });
    expect(error.id).toMatch(/./);
    const outcomes = await elsewhere.publishAll(...many(11, "channel:sqs-7"));
    expect(outcomes.map((o) => o.error?.code)).toEqual(Array.from({ length: 11 }, () => "refused"));
  });
});

describe("settings", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    vi.unstubAllGlobals();
    vi.doUnmock("@aws-sdk/client-lambda");
    vi.resetModules();
  });

  /** The module as a program has it that has just been started. */
  const start = async () => {
    vi.resetModules();
    return import("../../src/server/index.js");
  };
  const clear = () => {
    for (const name of ["BELLHOP_EMIT_FUNCTION", "BELLHOP_EMIT_QUEUE_URL", "BELLHOP_ENDPOINT", "AWS_LAMBDA_FUNCTION_NAME"]) vi.stubEnv(name, undefined);
  };

  test("socketEvents reads BELLHOP_ENDPOINT when it is first used", async () => {
    clear();
    const { socketEvents } = await start();
    vi.stubEnv("BELLHOP_ENDPOINT", bellhop.http);
    vi.stubEnv("NODE_ENV", "production");
    expect((await socketEvents.newMessage("env", { content: "hi" }, { id: "e1" })).results).toMatchObject([{ seq: 1 }]);
  });

  test("socketEvents invokes BELLHOP_EMIT_FUNCTION with a client of its own, from the AWS variables", async () => {
    clear();
    vi.stubEnv("BELLHOP_EMIT_FUNCTION", "emit");
    vi.stubEnv("BELLHOP_ENDPOINT", "http://127.0.0.1:1"); // the function wins
    for (const [name, value] of Object.entries({ AWS_ENDPOINT_URL_LAMBDA: gateway.endpoint, AWS_REGION: "eu-west-1", AWS_ACCESS_KEY_ID: "AKID", AWS_SECRET_ACCESS_KEY: "SECRET" })) {
      vi.stubEnv(name, value);
    }
    const { socketEvents } = await start();
    await socketEvents.newMessage("env", { content: "hi" }, { id: "e2" });
    expect((await socketEvents.history("channel:env")).events.map(({ id }) => id)).toContain("e2");
    expect(gateway.kinds).toEqual(["RequestResponse", "RequestResponse"]);
  });

  test("socketEvents sends to BELLHOP_EMIT_QUEUE_URL", async () => {
    const queue = await startQueue(bellhop.http);
    clear();
    for (const [name, value] of Object.entries({ AWS_REGION: "eu-west-1", AWS_ACCESS_KEY_ID: "AKID", AWS_SECRET_ACCESS_KEY: "SECRET", BELLHOP_EMIT_QUEUE_URL: queue.url })) {
      vi.stubEnv(name, value);
    }
    const { socketEvents } = await start();
    expect(await socketEvents.newMessage("env", { content: "hi" }, { id: "e3" })).toEqual({ id: "e3", results: [] });
    expect((await direct.history("channel:env")).events.map(({ id }) => id)).toContain("e3");
    queue.stop();
  });

  test("without settings it is the emulator, but neither in production nor in a Lambda function", async () => {
    const asked: string[] = [];
    vi.stubGlobal("fetch", (url: string) => {
      asked.push(url);
      return Promise.resolve(new Response('{"ok":true,"data":{"presence":[]}}'));
    });
    const presence = (env: object) => createEmitter(fromEnvironment(() => env)).presence("community:1");
    expect(await presence({ NODE_ENV: "development" })).toEqual([]);
    expect(asked).toEqual(["http://127.0.0.1:4000/2015-03-31/functions/emit/invocations"]);
    for (const env of [{ NODE_ENV: "production" }, { AWS_LAMBDA_FUNCTION_NAME: "mine" }]) {
      expect(await refused(presence(env))).toMatchObject({ code: "config", retry: false, message: expect.stringContaining("BELLHOP_EMIT_FUNCTION") });
    }
    expect(asked).toHaveLength(1);
  });

  test("settings that came later are found", async () => {
    const env: { NODE_ENV: string; BELLHOP_ENDPOINT?: string } = { NODE_ENV: "production" };
    const emitter = createEmitter(fromEnvironment(() => env));
    expect(await refused(emitter.newMessage("env", { content: "a" }))).toMatchObject({ code: "config" });
    env.BELLHOP_ENDPOINT = bellhop.http;
    expect((await emitter.presence("community:none"))).toEqual([]);
  });

  test.each(["", "localhost:4000", "ftp://localhost", "nonsense"])("%j is no endpoint", (endpoint) => {
    expect(() => http({ endpoint })).toThrow(expect.objectContaining({ code: "config", message: expect.stringContaining("such as http://") }));
  });

  test("a function and a queue need names", () => {
    expect(() => lambda({ functionName: "" })).toThrow(expect.objectContaining({ code: "config" }));
    expect(() => sqs({ queueUrl: "" })).toThrow(expect.objectContaining({ code: "config" }));
  });

  test("a package that is missing is named", async () => {
    vi.doMock("@aws-sdk/client-lambda", () => {
      throw new Error("Cannot find package '@aws-sdk/client-lambda'");
    });
    const server = await start();
    const call = server.createEmitter(server.lambda({ functionName: "emit" })).presence("community:1");
    await expect(call).rejects.toMatchObject({ name: "EmitError", code: "config", message: expect.stringContaining("npm install @aws-sdk/client-lambda") });
  });
});
