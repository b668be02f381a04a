// @ts-check
// A path to a server with the faults that real ones have: it goes silent, breaks off, or closes one of its two directions.

import { once } from "node:events";
import { connect, createServer } from "node:net";

/** @typedef {{ near: import("node:net").Socket, far: import("node:net").Socket, silent: boolean }} Pair */

export class Proxy {
  /** How many connections there were. */
  count = 0;
  /** New connections are silent from their beginning. */
  silent = false;
  /** @type {import("node:net").Server} */
  #server;
  /** @type {Set<Pair>} */
  #pairs = new Set();

  /** @param {string} target such as http://127.0.0.1:4000 */
  constructor(target) {
    const { hostname, port } = new URL(target);
    this.#server = createServer({ allowHalfOpen: true }, (near) => {
      const far = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
      const pair = { near, far, silent: this.silent };
      this.count++;
      this.#pairs.add(pair);
      for (const [from, to] of /** @type {const} */ ([[near, far], [far, near]])) {
        from.on("data", (chunk) => void (pair.silent || to.write(chunk)));
        from.on("end", () => void (pair.silent || to.end()));
        from.on("error", () => {});
        from.on("close", () => {
          if (!pair.silent) to.destroy();
          if (near.destroyed && far.destroyed) this.#pairs.delete(pair);
        });
      }
    });
  }

  /**
   * @param {string} target
   * @returns {Promise<Proxy>}
   */
  static async to(target) {
    const proxy = new Proxy(target);
    await once(proxy.#server.listen(0, "127.0.0.1"), "listening");
    return proxy;
  }

  get ws() {
    return `${this.http.replace("http", "ws")}/dev`;
  }

  get http() {
    return `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (this.#server.address()).port}`;
  }

  /** What is connected now hears nothing more, and is heard no more. Nobody is told. */
  silence() {
    for (const pair of this.#pairs) pair.silent = true;
  }

  /** What went silent breaks off at last. */
  forget() {
    for (const { near, far, silent } of this.#pairs) if (silent) for (const socket of [near, far]) socket.destroy();
  }

  /** What is connected now breaks off, as where a router is switched off. */
  reset() {
    for (const { near, far } of this.#pairs) for (const socket of [near, far]) socket.resetAndDestroy();
  }

  /** Of what is connected now, one direction ends: the server hears no more, or the client does not. */
  halfClose() {
    for (const { near, far } of this.#pairs) (Math.random() < 0.5 ? near : far).end();
  }

  async end() {
    for (const { near, far } of this.#pairs) for (const socket of [near, far]) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
