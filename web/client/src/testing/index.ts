/**
 * A server in the memory of a test: clients, hooks for React and emitters are the real ones, and nothing is waited for. It has a
 * clock of its own, cuts connections, and has actions go wrong.
 */
export type { Duration } from "./clock.js";
export { TestServer, type Fault, type TestServerOptions } from "./server.js";
export type { HookAnswer, Question } from "./world.js";
