/**
 * Sends events to the rooms of a Bellhop installation from Node servers and Next.js server actions, and asks and tells it
 * other things. It is the twin of the Go package `emitter`. It must not reach a browser: who may emit may do everything.
 */
export { lambda, sqs, type AwsClient, type LambdaOptions, type SqsOptions } from "./aws.js";
export { bestEffort, type BestEffortOptions } from "./best-effort.js";
export {
  createEmitter, type Disconnect, type Emitter, type EmitterOptions, type EventOptions, type Helpers, type Member, type MembersResult,
  type Outcomes, type PresenceChange,
} from "./emitter.js";
export { fromEnvironment, socketEvents, type Environment } from "./environment.js";
export { EmitError, type EmitErrorCode, type EmitErrorOptions, type TargetResult, type TransportErrorCode } from "./errors.js";
export { http, type HttpOptions } from "./http.js";
export type { Ack, Acks, Operator, Socket } from "./operator.js";
export type { Author, Delivery, Id, Publish, Published } from "./publish.js";
export type { RetryOptions } from "./retry.js";
export { signToken, type Grant, type TokenClaims } from "./tokens.js";
export type { Outcome, Transport } from "./transport.js";
