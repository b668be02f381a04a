import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** Refuses one entry of a batch. */
export interface Refusal {
  Code: string;
  Message: string;
  SenderFault: boolean;
}

/** One request to the queue: what was in it. */
export type Batch = { Id: string; MessageBody: string }[];

/**
 * SQS's JSON protocol with one queue, for the real SDK. What it accepts it hands to the emit function of an emulator, in
 * the shape in which Lambda's poller does.
 */
export async function startQueue(endpoint: string) {
  const batches: Batch[] = [];
  const refuse = new Map<string, Refusal[]>(); // by a part of the body: what becomes of it, attempt by attempt
  const failures: { status: number; type: string }[] = []; // what becomes of the next requests
  const server = createServer(async (request, response) => {
    const input = JSON.parse(Buffer.concat(await request.toArray()).toString()) as { QueueUrl: string; Entries: Batch };
    const answer = (status: number, body: object) => {
      response.writeHead(status, { "Content-Type": "application/x-amz-json-1.0" });
      response.end(JSON.stringify(body));
    };
    const failure = failures.shift();
    if (failure) return answer(failure.status, { __type: `com.amazonaws.sqs#${failure.type}`, message: failure.type });
    if (request.headers["x-amz-target"] !== "AmazonSQS.SendMessageBatch" || input.QueueUrl !== url) {
      return answer(400, { __type: "com.amazonaws.sqs#QueueDoesNotExist", message: "no such queue" });
    }
    batches.push(input.Entries);
    const Successful: object[] = [];
    const Failed: object[] = [];
    const accepted: string[] = [];
    for (const { Id, MessageBody } of input.Entries) {
      const why = [...refuse].find(([part, left]) => MessageBody.includes(part) && left.length > 0)?.[1].shift();
      if (why) {
        Failed.push({ Id, ...why });
        continue;
      }
      accepted.push(MessageBody);
      Successful.push({ Id, MessageId: `m${Id}`, MD5OfMessageBody: createHash("md5").update(MessageBody).digest("hex") });
    }
    if (accepted.length > 0) await deliver(endpoint, accepted);
    answer(200, { Successful, ...(Failed.length > 0 ? { Failed } : {}) });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const url = `${origin}/1/emit`;
  return { origin, url, batches, refuse, failures, stop: () => void server.close().closeAllConnections() };
}

async function deliver(endpoint: string, bodies: string[]): Promise<void> {
  const response = await fetch(`${endpoint}/2015-03-31/functions/emit/invocations`, {
    method: "POST",
    body: JSON.stringify({ Records: bodies.map((body, i) => ({ messageId: `m${i}`, body, eventSource: "aws:sqs" })) }),
  });
  const { batchItemFailures } = (await response.json()) as { batchItemFailures?: unknown[] };
  if (!response.ok || response.headers.get("x-amz-function-error") || batchItemFailures?.length) throw new Error("the emit function failed");
}
