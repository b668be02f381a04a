// What @bellhop/client/server has in every runtime.

export type { AwsClient, LambdaOptions, LambdaSdk, SqsOptions, SqsSdk } from "./aws.js";
export { bestEffort, type BestEffortOptions } from "./best-effort.js";
export {
  createEmitter, type Disconnect, type Emitter, type EmitterOptions, type EventOptions, type Helpers, type Member, type MembersResult,
  type Outcomes, type PresenceChange,
} from "./emitter.js";
export type { Environment } from "./environment.js";
export { EmitError, type EmitErrorCode, type EmitErrorOptions, type TargetResult, type TransportErrorCode } from "./errors.js";
export { http, type HttpOptions } from "./http.js";
export type { Ack, Acks, Operator, Socket } from "./operator.js";
export type { Author, Delivery, Id, Publish, Published } from "./publish.js";
export type { RetryOptions } from "./retry.js";
export { signToken, type Grant, type TokenClaims } from "./tokens.js";
export type { Outcome, Transport } from "./transport.js";
