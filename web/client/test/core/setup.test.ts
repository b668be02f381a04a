import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { connect, type Client } from "../../src/index.js";
import { startBellhop, until, type Bellhop } from "../emulator.js";

// What somebody is told who has set something up wrongly: what it is, and what to do.
let bellhop: Bellhop;
const clients: Client[] = [];
beforeAll(async () => void (bellhop = await startBellhop("--memory")));
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  vi.restoreAllMocks();
});
afterAll(() => bellhop.end());

const wrong: [string, (b: Bellhop) => { url?: string; token?: string }, RegExp][] = [
  ["a host that nobody answers at", () => ({ url: "ws://127.0.0.1:1/dev" }), /ECONNREFUSED.*is the host right/],
  ["a stage that there is not", (b) => ({ url: `${b.ws}x` }), /Unexpected server response: 403.*: the URL ends in no stage, or AllowedOrigins/],
  ["a token of another secret", (b) => ({ token: `${b.token("ana").slice(0, -6)}AAAAAA` }), /401.*: the token is refused: has it the server's secret or keys/],
  ["a token that has ended", (b) => ({ token: b.token("ana", { ttl: -90 }) }), /401.*ended \d\d s ago/],
  ["a page instead of a token", () => ({ token: "<html>" }), /no JWT/],
];

test.each(wrong)("%s is named in the error, and in the console once", async (_, what, words) => {
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  const { url = bellhop.ws, token = bellhop.token("ana") } = what(bellhop);
  const errors: string[] = [];
  const client = connect(url, { token: () => token, WebSocket, maxDelay: 50 });
  clients.push(client);
  client.on("error", ({ message }) => errors.push(message));
  await until(() => errors.length >= 3);
  for (const message of errors) expect(message).toMatch(words);
  expect(client.error?.message).toMatch(words);
  expect(warned.mock.calls).toEqual([[expect.stringMatching(words)]]);
});

test("a browser says nothing of why, so that the likely causes are named", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  class Browsers extends WebSocket {
    override emit(event: string | symbol, ...args: unknown[]): boolean {
      return super.emit(event, ...(event === "error" ? [Object.assign(new Error(), { message: undefined })] : args));
    }
  }
  const client = connect(bellhop.ws, { token: () => bellhop.token("ana", { ttl: -90 }), WebSocket: Browsers });
  clients.push(client);
  await until(() => client.error);
  expect(client.error!.message).toMatch(/^No connection to ws:\S+: the token ended/);
  expect(client.error!.message).not.toMatch(/100\d/);
});

test("what is no URL, and what is no token function, is refused at once", () => {
  for (const url of [undefined, "", "abc.example/prod"]) {
    expect(() => connect(url as string, { token: () => "", WebSocket })).toThrow(/connect needs the URL of a WebSocket API, such as wss:/);
  }
  expect(() => connect("ws://127.0.0.1:1", { WebSocket } as never)).toThrow(/a function that gives a token/);
});
