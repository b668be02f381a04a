import { LambdaClient } from "@aws-sdk/client-lambda";
import { SQSClient } from "@aws-sdk/client-sqs";
import { expect, test } from "vitest";
import { createEmitter, lambda, sqs, type Emitter, type Published } from "../../src/server/index.js";

// What the compiler must refuse. `tsc` fails when one of these lines becomes right.
export function mistakes(emitter: Emitter): Promise<unknown>[] {
  return [
    // @ts-expect-error a message has content
    emitter.newMessage("42", { text: "hi" }),
    // @ts-expect-error a message is an object
    emitter.newMessage("42", "hi"),
    // @ts-expect-error the data of the system's events is theirs
    emitter.publish({ event: "message:deleted", rooms: ["channel:42"], data: { id: "1" } }),
    // @ts-expect-error and is not left out
    emitter.publish({ event: "message:deleted", rooms: ["channel:42"] }),
    // @ts-expect-error also in a list
    emitter.publishAll({ event: "a", rooms: ["channel:42"] }, { event: "room:closed", rooms: ["channel:42"], data: { why: "" } }),
    // @ts-expect-error a status is needed
    emitter.presenceChanged("7", { userId: "ana" }),
    // @ts-expect-error one or the other
    emitter.disconnect({ user: "ana", connection: "c=" }),
    // @ts-expect-error one of them
    emitter.disconnect({ reason: "spam" }),
  ];
}

test("events of an application take any data, those of the system their own; clients of the SDK are clients", async () => {
  const sent: string[] = [];
  const emitter = createEmitter({ answers: false, send: async (commands) => (sent.push(...commands), commands.map(() => ({}))) });
  const one: Promise<Published> = emitter.publish({ event: "quiz:over", rooms: ["channel:42"], data: [1, "two"] });
  await one;
  await emitter.publish({ event: "quiz:begun", rooms: ["channel:42"] });
  await emitter.publish({ event: "room:closed", rooms: ["channel:42"], data: { reason: "over" }, ephemeral: true });
  await emitter.publishAll({ event: "a", rooms: ["channel:42"], data: 1 }, { event: "message:deleted", rooms: ["channel:42"], data: { messageId: "m" } });
  expect(sent.map((text) => (JSON.parse(text) as { event: string }).event)).toEqual(["quiz:over", "quiz:begun", "room:closed", "a", "message:deleted"]);
  const region = "eu-west-1";
  expect(lambda({ functionName: "emit", client: new LambdaClient({ region }) }).answers).toBe(true);
  expect(sqs({ queueUrl: "http://127.0.0.1:1/q", client: new SQSClient({ region }) }).answers).toBe(false);
});
