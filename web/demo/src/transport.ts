import { socketIO, type OpenTransport } from "@bellhop/client/socketio";

export type { OpenTransport };

/** The transport that an address asks for; none: that of the client. socket.io-client is loaded for those alone who use it. */
export async function transportOver(over: string | undefined): Promise<OpenTransport | undefined> {
  if (over !== "socket.io") return undefined;
  const { WebSocket: Engine, io } = await import("socket.io-client");
  return (url, options, events) => {
    const Given = options.WebSocket as typeof WebSocket; // that of the network which can be cut
    const engine = class extends Engine {
      override createSocket(uri: string): WebSocket {
        return new Given(uri);
      }
    };
    return socketIO(() => io({ transports: [engine], forceNew: true }))(url, options, events);
  };
}
