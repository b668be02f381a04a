/**
 * The client of Bellhop: rooms that lose nothing over one connection that reopens by itself. It has no dependency on a
 * framework; the hooks for React are in `@bellhop/client/react`, what servers emit with in `@bellhop/client/server`.
 */
export type * from "./api.js";
export { connect } from "./client.js";
export { BellhopError, type LocalErrorCode } from "./error.js";
export type { Probe } from "./liveness.js";
export type * from "./register.js";
export type { Action, ConnectOptions, Frame, OpenTransport, Refusal, Transport, TransportEvents } from "./transport.js";
export type * from "./types.js";
