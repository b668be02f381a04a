import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What becomes of a request, if not what the emulator makes of it. */
export type Fault =
  | { status: number; headers?: Record<string, string>; body?: string }
  /** The connection ends before the request is done. */
  | "cut"
  /** The request is done, and the connection ends before the answer. */
  | "cut after"
  /** Nothing happens. */
  | "hang";

/** An emulator behind a network that fails as it is told to: a proxy that takes the next fault for each request. */
export async function startGateway(endpoint: string) {
  const faults: Fault[] = [];
  const bodies: string[] = [];
  const kinds: string[] = [];
  const held: ServerResponse[] = [];
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString();
    bodies.push(body);
    const kind = String(request.headers["x-amz-invocation-type"] ?? "");
    kinds.push(kind);
    const fault = faults.shift();
    if (fault === "cut") return request.socket.destroy();
    if (fault === "hang") return held.push(response);
    if (fault && fault !== "cut after") return response.writeHead(fault.status, fault.headers).end(fault.body);
    const answer = await fetch(endpoint + request.url!, { method: "POST", body, headers: { "X-Amz-Invocation-Type": kind } });
    const text = await answer.text();
    if (fault === "cut after") return request.socket.destroy();
    response.writeHead(answer.status, { "Content-Type": "application/json" }).end(text);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    faults,
    bodies,
    kinds,
    clear() {
      for (const list of [faults, bodies, kinds, held]) list.length = 0;
    },
    stop: () => void server.close().closeAllConnections(),
  };
}

/** What Lambda answers for a function that ran out of time. */
export const timedOut: Fault = {
  status: 200,
  headers: { "X-Amz-Function-Error": "Unhandled" },
  body: '{"errorType":"Sandbox.Timedout","errorMessage":"Task timed out after 60.00 seconds"}',
};

/** What Lambda answers when too much is asked of it. */
export const throttled: Fault = {
  status: 429,
  headers: { "x-amzn-ErrorType": "TooManyRequestsException", "Content-Type": "application/json" },
  body: '{"Type":"User","Message":"Rate Exceeded."}',
};
