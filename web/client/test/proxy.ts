import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A path to a server that can go silent: nothing gets through any more, and nobody is told. */
export class Proxy {
  #server: Server;
  #pairs = new Set<{ sockets: [Socket, Socket]; silent: boolean }>();
  /** How many connections there were. */
  count = 0;
  /** New connections are as silent as those of before. */
  silent = false;

  private constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#server = createServer((near) => {
      const far = connect(Number(port), hostname);
      const pair = { sockets: [near, far] as [Socket, Socket], silent: this.silent };
      this.count++;
      this.#pairs.add(pair);
      for (const [from, to] of [[near, far], [far, near]] as const) {
        from.on("data", (chunk) => void (pair.silent || to.write(chunk)));
        from.on("close", () => void (pair.silent || to.destroy()));
        from.on("error", () => {});
      }
    });
  }

  static async to(target: string): Promise<Proxy> {
    const proxy = new Proxy(target);
    await once(proxy.#server.listen(0, "127.0.0.1"), "listening");
    return proxy;
  }

  get ws(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/dev`;
  }

  /** What is connected now hears nothing more, and is heard no more. */
  silence(): void {
    for (const pair of this.#pairs) pair.silent = true;
  }

  async end(): Promise<void> {
    for (const { sockets } of this.#pairs) for (const socket of sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
