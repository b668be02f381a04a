import { NodeWebSocket, io } from "socket.io-client";
import { WebSocket } from "ws";
import { socketIO, type OpenTransport } from "../src/socketio.js";

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
