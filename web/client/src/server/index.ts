/**
 * Sends events to the rooms of a Bellhop installation from Node servers and Next.js server actions, and asks and tells it
 * other things. It is the twin of the Go package `emitter`. It must not reach a browser: who may emit may do everything.
 */
import { aws, type Aws } from "./aws.js";
import { createEmitter, type Emitter } from "./emitter.js";
import { chosen, type Environment } from "./environment.js";
import { sdk } from "./sdk.js";
import type { Transport } from "./transport.js";

export * from "./common.js";

const made = aws(sdk);

/**
 * Invokes the emit function and waits for its answer. The program needs the permission lambda:InvokeFunction, and the
 * package @aws-sdk/client-lambda. Several commands go into one invocation, up to 10.
 */
export const lambda: Aws["lambda"] = made.lambda;

/**
 * Sends commands to the queue that the emit function reads. There are no answers and no order, and it takes a moment
 * longer. The program needs the permission sqs:SendMessage, and the package @aws-sdk/client-sqs. Several commands go as
 * batches of up to 10; those that the queue refuses through no fault of theirs are sent again.
 */
export const sqs: Aws["sqs"] = made.sqs;

/** A transport that environment variables choose. They are read on first use, so that a build does not need them. */
export const fromEnvironment = (read?: () => Environment): Transport => chosen(made, read);

/**
 * An emitter that environment variables set up, for server actions and route handlers:
 *
 *     import { socketEvents } from "@bellhop/client/server";
 *     await socketEvents.newMessage(channelId, message);
 */
export const socketEvents: Emitter = createEmitter(fromEnvironment());
