import type { EmitName, EventData, RoomName } from "../register.js";
import type { From } from "../types.js";
import type { LoosePublish, Published } from "./publish.js";

/** What one client answered. */
export interface Ack {
  connection: string;
  userId: string;
  /** What its callback was called with. */
  args: unknown[];
}

/** The answers to a question. */
export interface Acks {
  answers: Ack[];
  /** Connections that did not answer in time, are gone, or speak no Socket.IO. */
  missing: string[];
}

/** One open connection. */
export interface Socket {
  connection: string;
  userId: string;
  name?: string;
  rooms: string[];
  /** "bellhop.v1", or "socketio". */
  codec: string;
  /** Unix time in milliseconds. */
  connectedAt: number;
}

/**
 * What is done with the connections in some rooms, in the words of Socket.IO's servers. Each method gives a new one. All but
 * `emit` are for 1,000 connections at most, and for 100 that are asked.
 */
export interface Operator {
  /** Adds rooms; a user is the room `user:<id>`. */
  to(rooms: RoomName | readonly RoomName[]): Operator;
  in(rooms: RoomName | readonly RoomName[]): Operator;
  /** Leaves out rooms, user ids, and connection ids. */
  except(names: string | readonly string[]): Operator;
  /** What is emitted is not logged: who is not connected now never sees it. */
  readonly volatile: Operator;
  /** How long emitWithAck waits, in milliseconds: 10,000 at most, 5,000 if it is not set. */
  timeout(ms: number): Operator;
  /** Sends an event; with an `id` it may be sent again without being logged twice. */
  emit<E extends EmitName>(event: E, data?: EventData<string, E>, options?: { id?: string; from?: From }): Promise<Published>;
  /**
   * Asks clients of Socket.IO, and waits for their answers; the function waits, and is paid for, meanwhile. Their handlers are called
   * with `(data, callback)`, or with the callback alone if there is no data.
   */
  emitWithAck(event: string, data?: unknown): Promise<Acks>;
  fetchSockets(): Promise<Socket[]>;
  socketsJoin(rooms: RoomName | readonly RoomName[]): Promise<void>;
  socketsLeave(rooms: RoomName | readonly RoomName[]): Promise<void>;
  /** Closes the connections, and tells them why. Clients of Socket.IO stay away then. */
  disconnectSockets(reason?: string): Promise<void>;
}

/** What an operator needs of an emitter beyond its own methods. */
export type Command = <T>(command: string, fields: Record<string, unknown>, answers: boolean) => Promise<T>;

interface State {
  rooms: readonly string[];
  except: readonly string[];
  ephemeral: boolean;
  timeoutMs: number | undefined;
}

const list = (names: string | readonly string[]): readonly string[] => (typeof names === "string" ? [names] : names);

/** Gives the operator of an emitter. */
export function createOperator(publish: (one: LoosePublish) => Promise<Published>, command: Command, rooms: readonly string[]): Operator {
  const make = (state: State): Operator => {
    const selection = { rooms: state.rooms, except: state.except };
    const move = async (name: string, targets: string | readonly string[]) => {
      for (const room of list(targets)) await command(name, { ...selection, room }, false);
    };
    const to = (more: string | readonly string[]) => make({ ...state, rooms: [...state.rooms, ...list(more)] });
    return {
      to,
      in: to,
      except: (names) => make({ ...state, except: [...state.except, ...list(names)] }),
      get volatile() {
        return make({ ...state, ephemeral: true });
      },
      timeout: (timeoutMs) => make({ ...state, timeoutMs }),
      emit: (event, data, options = {}) =>
        publish({ ...selection, ...options, event, data, ephemeral: state.ephemeral }),
      emitWithAck: (event, data) => command<Acks>("ask", { ...selection, event, data, timeoutMs: state.timeoutMs }, true),
      fetchSockets: async () => (await command<{ connections: Socket[] }>("connections", selection, true)).connections,
      socketsJoin: (targets) => move("join", targets),
      socketsLeave: (targets) => move("leave", targets),
      disconnectSockets: (reason) => command("disconnect", { ...selection, reason }, false),
    };
  };
  return make({ rooms, except: [], ephemeral: false, timeoutMs: undefined });
}
