// What somebody is told in Chromium who has set something up wrongly, by the hooks and in the console: what it is, and what to do.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { build } from "vite";
import { Bellhop, Windows, launch } from "./harness.mjs";

// The smallest page of an application: it shows what the hooks say.
const PAGE = `
  import { StrictMode, createElement as h } from "react";
  import { createRoot } from "react-dom/client";
  import { BellhopProvider, useChatSocket, useSocket } from "/src/react/index.ts";

  function Shown() {
    const { status, error } = useSocket();
    const chat = useChatSocket("lobby");
    return h("output", null, JSON.stringify({ status, code: error?.code, message: error?.message, chat: chat.error?.code, isConnected: chat.isConnected }));
  }
  const { token, ...props } = window.given;
  props.options = { maxDelay: 100 };
  createRoot(document.body).render(h(StrictMode, null, h(BellhopProvider, { ...props, ...(token && { token: () => token }) }, h(Shown))));
`;

async function script() {
  const entry = "\0page";
  const built = await build({
    root: join(import.meta.dirname, "../client"), configFile: false, logLevel: "error", define: { "process.env.NODE_ENV": '"development"' },
    plugins: [{ name: "page", resolveId: (id) => (id === entry ? id : undefined), load: (id) => (id === entry ? PAGE.replace("/src/", join(import.meta.dirname, "../client/src/")) : undefined) }],
    build: { write: false, minify: false, rolldownOptions: { input: entry } },
  });
  return built.output[0].code;
}

describe("a page that is set up wrongly", { timeout: 120_000 }, () => {
  const bellhop = new Bellhop(["--memory"]);
  // Of another origin than the server, as pages are; and really there, since Chromium keeps others from what is on this machine.
  const pages = createServer((request, response) => {
    if (request.url === "/page.js") response.setHeader("Content-Type", "text/javascript").end(code);
    else response.setHeader("Content-Type", "text/html").end('<!doctype html><link rel="icon" href="data:,"><body></body><script type="module" src="/page.js"></script>');
  });
  let browser, code;
  before(async () => {
    await bellhop.start();
    code = await script();
    await once(pages.listen(0, "127.0.0.1"), "listening");
    browser = await launch();
  }, { timeout: 180_000 });
  after(async () => {
    await browser?.close();
    pages.close();
    await bellhop.end();
  });

  // look gives what the hooks show once there is an error, and what stands in the console, of us and of the browser.
  const look = async (t, given, shown = ({ message }) => message) => {
    const windows = new Windows(t, browser, bellhop);
    windows.tolerated = /./;
    const page = await windows.page();
    const lines = [];
    page.on("console", (line) => lines.push(line.text()));
    await page.addInitScript((props) => (window.given = props), given);
    await page.goto(`http://127.0.0.1:${pages.address().port}/`);
    const output = page.locator("output");
    for (const end = Date.now() + 15_000; ; await new Promise((done) => setTimeout(done, 50))) {
      const said = JSON.parse(await output.textContent());
      if (shown(said)) {
        await new Promise((done) => setTimeout(done, 500)); // for what would be said twice
        const ours = lines.filter((line) => /Bellhop|connect needs/.test(line));
        return { ...said, ours, lines };
      }
      assert.ok(Date.now() < end, JSON.stringify(said));
    }
  };

  const good = { get token() { return bellhop.token("ana"); } };
  const refused = "the browser's own line in the console says which. ERR_: nobody answers: is the host right, does the server run? " +
    "403: the URL ends in no stage, or AllowedOrigins has not this origin. " +
    "401, or failed authentication: the token is refused: has it the server's secret or keys, issuer and audience?";

  test("what is right is connected, and says nothing", async (t) => {
    const { status, isConnected, ours } = await look(t, { url: bellhop.ws, token: good.token }, ({ isConnected }) => isConnected);
    assert.deepEqual([status, isConnected, ours], ["open", true, []]);
  });

  const cases = [
    ["no URL", () => ({ token: good.token }), "connect needs the URL of a WebSocket API, such as wss://"],
    ["an empty URL", () => ({ url: "", token: good.token }), "connect needs the URL of a WebSocket API, such as wss://"],
    ["no token function", () => ({ url: bellhop.ws }), 'connect needs a function that gives a token, as the option "token".'],
    ["a wrong host", () => ({ url: "ws://127.0.0.1:9999/dev", token: good.token }), `No connection to ws://127.0.0.1:9999/dev: ${refused}`, /ERR_CONNECTION_REFUSED/],
    ["a wrong stage", () => ({ url: `${bellhop.ws}x`, token: good.token }), `/devx: ${refused}`, /Unexpected response code: 403/],
    ["a token of another secret", () => ({ url: bellhop.ws, token: `${good.token.slice(0, -6)}AAAAAA` }), `/dev: ${refused}`, /Authentication failed/],
    ["a token that has ended", () => ({ url: bellhop.ws, token: bellhop.token("ana", { ttl: -90 }) }), "/dev: the token ended 9"],
    ["a page instead of a token", () => ({ url: bellhop.ws, token: "<!doctype html>" }), ": the token is no JWT with a sub: is it given as text"],
  ];
  for (const [name, given, words, browsers = /./] of cases) test(`${name} is named by the hooks, and in the console once`, async (t) => {
    const { message, isConnected, ours, lines } = await look(t, given());
    assert.ok(message.includes(words), message);
    assert.equal(isConnected, false);
    assert.equal(ours.length, 1, ours.join("\n"));
    assert.ok(ours[0].includes(words), ours[0]);
    assert.ok(lines.some((line) => browsers.test(line)), lines.join("\n"));
  });
});
