import { NodeWebSocket, io } from "socket.io-client";
import { WebSocket } from "ws";
import { socketIO, type OpenTransport } from "../src/socketio.js";
import { logged, type Losses } from "./losses.js";

/** The transport of socket.io-client to the stage of a {@link Bellhop}, over the class that the option WebSocket names. */
export const overSocketIO: OpenTransport = (url, options, events) => {
  class Transport extends NodeWebSocket {
    override createSocket(uri: string): WebSocket {
      return new ((options.WebSocket as typeof WebSocket | undefined) ?? WebSocket)(uri);
    }
  }
  const open = () => {
    const { origin, pathname } = new URL(url.replace("ws", "http"));
    return io(origin, {
      path: pathname, addTrailingSlash: false, transports: [Transport], forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 200,
    });
  };
  return socketIO(open)(url, options, events);
};

/** A real WebSocket whose Socket.IO loses what a test says. */
export class LossySocketIO extends WebSocket {
  readonly losses: Losses = { actions: false, replies: false };
  readonly #ids = new Set<string>();

  override send(data: Parameters<WebSocket["send"]>[0], ...rest: unknown[]): void {
    const [, id, action] = /^42(\d*)\["([^"]+)"/.exec(String(data)) ?? [];
    const counts = action !== undefined && logged.includes(action);
    if (counts && id) this.#ids.add(id);
    if (!counts || !this.losses.actions) super.send(data, ...(rest as []));
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const [, id] = (event === "message" && this.losses.replies && /^43(\d+)/.exec(String(args[0]))) || [];
    return id !== undefined && this.#ids.has(id) ? true : super.emit(event, ...args);
  }
}
