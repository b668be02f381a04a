import { EmitError, messageOf } from "./errors.js";
import { attempt, limits, pause, type Attempt, type RetryOptions } from "./retry.js";
import { ending, functionError, invoke, parse, requests, type Outcome, type Transport } from "./transport.js";

/** A client of the AWS SDK for JavaScript v3, or whatever sends its commands as one does. */
export interface AwsClient {
  send(command: object, options?: { abortSignal?: AbortSignal }): Promise<object>;
}

/** What is used of the package @aws-sdk/client-lambda. */
export interface LambdaSdk {
  LambdaClient: new (options: object) => AwsClient;
  InvokeCommand: new (input: { FunctionName: string; InvocationType: "Event" | "RequestResponse"; Payload: Uint8Array }) => object;
}

/** What is used of the package @aws-sdk/client-sqs. */
export interface SqsSdk {
  SQSClient: new (options: object) => AwsClient;
  SendMessageBatchCommand: new (input: { QueueUrl: string; Entries: { Id: string; MessageBody: string }[] }) => object;
}

/** Which function, and who invokes it. */
export interface LambdaOptions extends RetryOptions {
  /** Name or ARN; the output EmitFunctionName of the stack. */
  functionName: string;
  /** A `LambdaClient`. Without one it is made on first use, with region and credentials from the environment. */
  client?: AwsClient;
  /** The package, as `import * as sdk from "@aws-sdk/client-lambda"` gives it. It is imported on first use, but not in edge runtimes. */
  sdk?: LambdaSdk;
  /** Do not wait: Lambda queues the command and tries it three times. There are no answers then. */
  async?: boolean;
}

/** Transports to the emit function and to its queue. */
export interface Aws {
  lambda: (options: LambdaOptions) => Transport;
  sqs: (options: SqsOptions) => Transport;
}

/** How the packages of the SDK are come by where a program does not hand them over. */
export interface Loaders {
  lambda: () => Promise<LambdaSdk>;
  sqs: () => Promise<SqsSdk>;
}

/** The transports over AWS, with the SDK from there. */
export function aws(load: Loaders): Aws {
  return { lambda: (options) => lambda(options, load.lambda), sqs: (options) => sqs(options, load.sqs) };
}

function lambda({ functionName, client, sdk: given, async: unanswered = false, ...options }: LambdaOptions, load: () => Promise<LambdaSdk>): Transport {
  if (!functionName) throw new EmitError("config", "lambda needs the name of the emit function");
  const most = limits(options);
  const sdk = once(async () => {
    const { InvokeCommand, LambdaClient } = given ?? (await load());
    return { InvokeCommand, client: client ?? new LambdaClient({}) };
  });
  const call = async (payload: string, signal: AbortSignal | undefined): Promise<unknown> => {
    const { InvokeCommand, client } = await sdk();
    const command = {
      FunctionName: functionName,
      InvocationType: unanswered ? ("Event" as const) : ("RequestResponse" as const),
      Payload: new TextEncoder().encode(payload),
    };
    const got: { FunctionError?: string; Payload?: Uint8Array | null } = await attempt(most, () =>
      sent(`invoke ${functionName}`, most.timeout, signal, (abortSignal) => client.send(new InvokeCommand(command), { abortSignal })),
    );
    const text = got.Payload ? new TextDecoder().decode(got.Payload) : ""; // the SDK gives null for an empty body
    if (got.FunctionError) throw functionError(functionName, got.FunctionError, text);
    return unanswered ? undefined : parse(functionName, text);
  };
  return { answers: !unanswered, send: (commands, signal) => invoke(commands, (payload) => call(payload, signal)) };
}

/** Which queue, and who sends to it. */
export interface SqsOptions extends RetryOptions {
  /** The output EmitQueueUrl of the stack. */
  queueUrl: string;
  /** An `SQSClient`. Without one it is made on first use, with region and credentials from the environment. */
  client?: AwsClient;
  /** The package, as `import * as sdk from "@aws-sdk/client-sqs"` gives it. It is imported on first use, but not in edge runtimes. */
  sdk?: SqsSdk;
}

interface Refused {
  Id?: string;
  Code?: string;
  Message?: string;
  SenderFault?: boolean;
}

function sqs({ queueUrl, client, sdk: given, ...options }: SqsOptions, load: () => Promise<SqsSdk>): Transport {
  if (!queueUrl) throw new EmitError("config", "sqs needs the URL of the emit queue");
  const most = limits(options);
  const sdk = once(async () => {
    const { SendMessageBatchCommand, SQSClient } = given ?? (await load());
    return { SendMessageBatchCommand, client: client ?? new SQSClient({}) };
  });

  /** Sends some of a batch's commands, and gives those that were refused by their index, which is the Id of an entry. */
  const post = async (commands: readonly string[], which: readonly number[], signal: AbortSignal | undefined): Promise<Map<number, Refused>> => {
    const { SendMessageBatchCommand, client } = await sdk();
    const Entries = which.map((i) => ({ Id: String(i), MessageBody: commands[i]! }));
    const got: { Failed?: Refused[] } = await attempt(most, () =>
      sent(`send to ${queueUrl}`, most.timeout, signal, (abortSignal) =>
        client.send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries }), { abortSignal }),
      ),
    );
    return new Map((got.Failed ?? []).map((refused) => [Number(refused.Id), refused]));
  };

  const batch = async (commands: readonly string[], signal: AbortSignal | undefined): Promise<Outcome[]> => {
    const out: Outcome[] = commands.map(() => ({}));
    let pending = commands.map((_, i) => i);
    for (let turn = 1; pending.length > 0; turn++) {
      let refused: Map<number, Refused>;
      try {
        refused = await post(commands, pending, signal);
      } catch (thrown) {
        const error = thrown instanceof EmitError ? thrown : failure(`send to ${queueUrl}`, thrown, most.timeout).error;
        for (const i of pending) out[i] = { error };
        return out;
      }
      const again: number[] = [];
      for (const i of pending) {
        const why = refused.get(i);
        out[i] = why ? { error: entryError(queueUrl, why) } : {};
        if (why && !why.SenderFault) again.push(i);
      }
      if (turn >= most.attempts) return out;
      pending = again;
      if (pending.length > 0) await pause(most.delay, turn);
    }
    return out;
  };

  return {
    answers: false,
    async send(commands, signal) {
      const out: Outcome[] = [];
      for (const together of requests(commands)) out.push(...(await batch(together, signal)));
      return out;
    },
  };
}

function entryError(queueUrl: string, { Code = "", Message = "", SenderFault = false }: Refused): EmitError {
  return new EmitError(SenderFault ? "refused" : "throttled", `send to ${queueUrl}: ${Code}: ${Message}`, { retry: !SenderFault });
}

/** One request of an SDK's client. */
async function sent<T extends object>(
  what: string, timeout: number, signal: AbortSignal | undefined, send: (signal: AbortSignal) => Promise<T>,
): Promise<Attempt<T>> {
  try {
    return { value: await send(ending(timeout, signal)) };
  } catch (thrown) {
    return { ...failure(what, thrown, timeout), ...(signal?.aborted && { again: false }) };
  }
}

/** Errors that say "slower", by the names that Lambda and SQS give them, whatever their status. */
const THROTTLING = /Throttl|TooManyRequests|RequestLimitExceeded|SlowDown/;
/** What Node says about connections that failed. */
const NETWORK = /^(E(CONN|PIPE|HOST|NET|TIMEDOUT|AI_)|ENOTFOUND|UND_ERR)/;

/** Tells the SDK's errors apart. It has tried again by itself, and says how often. */
function failure(what: string, thrown: unknown, timeout: number): { error: EmitError; again: boolean; spent: number } {
  if (thrown instanceof EmitError) return { error: thrown, again: false, spent: 1 };
  const { name, code, $metadata } = (typeof thrown === "object" && thrown !== null ? thrown : {}) as {
    name?: unknown;
    code?: unknown;
    $metadata?: { httpStatusCode?: number; attempts?: number };
  };
  const called = String(name ?? "");
  const status = $metadata?.httpStatusCode ?? 0;
  const spent = $metadata?.attempts ?? 1;
  const message = `${what}: ${called && called !== "Error" ? `${called}: ` : ""}${messageOf(thrown)}`;
  const give = (kind: "throttled" | "timeout" | "network" | "refused", retry: boolean, again = retry) => ({
    error: new EmitError(kind, message, { retry, cause: thrown }), again, spent,
  });
  if (called === "AbortError") {
    const error = new EmitError("timeout", `${what}: no answer within ${timeout} ms`, { retry: true, cause: thrown });
    return { error, again: false, spent };
  }
  if (status === 429 || status >= 500 || THROTTLING.test(called)) return give("throttled", true);
  if (called === "TimeoutError" || (typeof code === "string" && NETWORK.test(code))) return give("network", true);
  return give("refused", false);
}

/** Makes something at most once, on first use; what failed is tried again by the next use. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () =>
    (made ??= make().catch((thrown: unknown) => {
      made = undefined;
      throw thrown;
    }));
}
