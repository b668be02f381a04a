import { WebSocket } from "ws";
import { Bellhop as Server, type Claims } from "../../testing/bellhop.mjs";
import { connect, type Client, type ConnectOptions } from "../src/index.js";
import { overSocketIO } from "./socketio.js";

export { until } from "../../testing/bellhop.mjs";
export type { Claims };

/** One `bellhop dev`, and clients of it. */
export class Bellhop extends Server {
  /** A client of a user, who may do everything unless grants say less; by another way if url names one. */
  connect(user: string, options: Partial<ConnectOptions> & Claims & { url?: string } = {}): Client {
    const { ttl, name, grants, url = this.ws, ...rest } = options;
    return connect(url, {
      token: () => this.token(user, { ...(ttl && { ttl }), ...(name && { name }), ...(grants && { grants }) }),
      WebSocket,
      maxDelay: 500,
      ...(process.env.OVER === "socket.io" && { transport: overSocketIO }),
      ...rest,
    });
  }

  emit(command: object): Promise<{ ok: boolean; data?: unknown; error?: { code: string } }> {
    return this.command(command);
  }
}

export function startBellhop(...args: string[]): Promise<Bellhop> {
  return new Bellhop(args).start();
}
