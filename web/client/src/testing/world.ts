import type { Grant } from "../server/tokens.js";
import type { ErrorCode } from "../types.js";
import type { Connection, Identity } from "./connection.js";
import type { Room } from "./room.js";

/** What a hook is asked: docs/HOOKS.md has all of its fields. */
export interface Question {
  hook: "connect" | "join" | "publish" | "action" | "disconnect";
  user: { id: string; name?: string };
  connection: string;
  time: number;
  room?: string;
  rooms?: string[];
  event?: string;
  action?: string;
  id?: string;
  data?: unknown;
  granted?: boolean;
}

/** What it answers. */
export interface HookAnswer {
  deny?: { code?: ErrorCode; message?: string };
  allow?: boolean;
  data?: unknown;
  grants?: Record<string, Grant[]>;
  rooms?: string[];
  status?: string;
  statusData?: unknown;
}

/** What actions and commands need of the server. */
export interface World {
  readonly now: number;
  readonly hooked: boolean;
  readonly rooms: readonly Room[];
  /** A room of a kind that there is. */
  room(name: string): Room | undefined;
  connections(user?: string): Connection[];
  identify(token: string): Identity | undefined;
  /** Ends a connection with its token. */
  expireLater(connection: Connection): void;
  enter(connection: Connection, room: Room): void;
  /** @param clean nobody waits for the user to come back */
  exit(connection: Connection, room: Room, clean: boolean): void;
  /** Closes a connection, after it was told why. */
  kick(connection: Connection, reason: string): void;
  ask(connection: Connection, question: Omit<Question, "user" | "connection" | "time">): Promise<HookAnswer>;
}

/** Why something is not done. */
export class Refused extends Error {
  constructor(readonly code: ErrorCode, message: string, readonly retryAfterMs?: number) {
    super(message);
  }
}
