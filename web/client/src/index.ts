/**
 * The client of Bellhop: rooms that lose nothing over one connection that reopens by itself. It has no dependency on a
 * framework; the hooks for React are in `@bellhop/client/react`, what servers emit with in `@bellhop/client/server`.
 */
export { connect } from "./client.js";
export { BellhopError } from "./error.js";
export type * from "./types.js";
