// The console's client, with an application that knows nothing of Bellhop, and with Bellhop's own API.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Bellhop, Windows, launch, screenshot } from "./harness.mjs";

const TEMPLATE = `
Transform: AWS::Serverless-2016-10-31
Resources:
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: prod
      RouteSelectionExpression: $request.body.action
      Auth: {AuthType: CUSTOM, AuthArn: !GetAtt Door.Arn, IdentitySource: [route.request.header.X-Room]}
      Routes:
        $connect: {FunctionArn: !GetAtt Talk.Arn}
        $default: {FunctionArn: !GetAtt Talk.Arn}
        echo: {FunctionArn: !GetAtt Talk.Arn, RouteResponseSelectionExpression: $default}
  Door: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.door, CodeUri: src/}}
  Talk: {Type: AWS::Serverless::Function, Properties: {Runtime: nodejs22.x, Handler: index.talk, CodeUri: src/}}
`;
const CODE = `
exports.door = async ({ headers, methodArn }) => ({
  principalId: headers["X-Room"], context: { room: headers["X-Room"], token: headers.Authorization ?? "" },
  policyDocument: { Version: "2012-10-17", Statement: [{ Action: "execute-api:Invoke", Effect: headers["X-Room"] === "closed" ? "Deny" : "Allow", Resource: methodArn }] },
})
exports.talk = async ({ body, headers, queryStringParameters: query, requestContext: { routeKey, authorizer } }) => {
  if (routeKey === "$connect") return { statusCode: query?.refuse ? 418 : 200, headers: { "Sec-WebSocket-Protocol": (headers["Sec-WebSocket-Protocol"] ?? "").split(",")[0] } }
  return { statusCode: 200, body: JSON.stringify({ heard: JSON.parse(body), room: authorizer.room, token: authorizer.token }) }
}
`;

const items = (page, kind, text) => page.locator(`[data-testid="item"][data-kind="${kind}"]`).filter({ hasText: text });

describe("the console's client", { timeout: 240_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), "bellhop-client-"));
  mkdirSync(join(dir, "src"));
  writeFileSync(join(dir, "src/index.js"), CODE);
  writeFileSync(join(dir, "template.yaml"), TEMPLATE);
  const foreign = new Bellhop(["--template", join(dir, "template.yaml")]);
  const own = new Bellhop();
  let browser;
  before(async () => {
    await own.start();
    await foreign.start();
    browser = await launch();
  }, { timeout: 180_000 });
  after(async () => {
    await browser?.close();
    await foreign.end();
    await own.end();
    rmSync(dir, { recursive: true, force: true });
  });

  async function open(t, server, options) {
    const windows = new Windows(t, browser, server);
    const page = await windows.page({ viewport: { width: 1400, height: 1100 }, ...options });
    await page.goto(`${server.url}/_bellhop/`);
    await page.getByTestId("state").filter({ hasText: "Live" }).waitFor();
    return page;
  }

  const latest = (page, n = 1) => page.getByRole("region", { name: `Connection ${n}`, exact: true });
  const line = (card, text) => card.getByTestId("client-line").filter({ hasText: text });

  test("what the authorizer asks for is there to fill in; two connections talk, by each route, and close", async (t) => {
    const page = await open(t, foreign);
    assert.equal(await page.getByTestId("connect-headers").inputValue(), "X-Room: ");
    await page.getByTestId("connect-headers").fill("X-Room: kitchen\nX-Other: 1");
    await page.getByTestId("connect-token").fill("a.b.c");
    await page.getByTestId("connect-subprotocols").fill("chat.v1, chat.v0");
    await page.getByTestId("connect").click();
    const first = latest(page);
    await first.getByTestId("client-state").filter({ hasText: "open, chat.v1" }).waitFor();
    await first.getByTestId("client-route").selectOption("echo");
    assert.equal(JSON.parse(await first.getByTestId("client-frame").inputValue()).action, "echo");
    await first.getByTestId("client-frame").fill('{"action":"echo","n":1}');
    await first.getByTestId("client-frame").press("Control+Enter");
    await line(first, '"room": "kitchen"').filter({ hasText: "Bearer a.b.c" }).filter({ hasText: '"n": 1' }).waitFor();

    await page.getByTestId("connect-headers").fill("X-Room: hall");
    await page.getByTestId("connect").click();
    const second = latest(page, 2);
    await second.getByTestId("client-frame").fill('{"action":"none"}');
    await second.getByTestId("client-send").click();
    await items(page, "message", "$default").or(items(page, "message", "none")).first().waitFor(); // it answers nobody
    assert.equal(await line(second, "room").count(), 0);
    await first.getByTestId("client-send").click();
    await line(first, '"n": 1').nth(3).waitFor(); // sent and received, twice

    await second.getByTestId("client-code").fill("4001");
    await second.getByTestId("client-reason").fill("enough");
    await second.getByTestId("client-close").click();
    await second.getByTestId("client-state").filter({ hasText: "closed with 4001" }).waitFor();
    assert.ok(await second.getByTestId("client-send").isDisabled());
    await second.getByTestId("client-remove").click();
    await first.getByTestId("client-frame").fill("x".repeat(33 * 1024));
    await first.getByTestId("client-send").click();
    await first.getByTestId("client-state").filter({ hasText: "closed with 1009" }).waitFor();
  });

  test("a refused handshake says its status, what is wrong in the form why", async (t) => {
    const page = await open(t, foreign);
    await page.getByTestId("connect-headers").fill("X-Room: closed");
    await page.getByTestId("connect").click();
    await page.getByTestId("connect-answer").filter({ hasText: "Refused with 403" }).waitFor();
    await page.getByTestId("connect-headers").fill("");
    await page.getByTestId("connect").click();
    await page.getByTestId("connect-answer").filter({ hasText: "Refused with 401" }).waitFor();
    await page.getByTestId("connect-headers").fill("X-Room: open");
    await page.getByTestId("connect-query").fill("refuse=1");
    await page.getByTestId("connect").click();
    await page.getByTestId("connect-answer").filter({ hasText: "Refused with 418" }).waitFor();
    await page.getByTestId("connect-headers").fill("no colon");
    await page.getByTestId("connect").click();
    await page.getByTestId("connect-answer").filter({ hasText: "Name: value" }).waitFor();
    await page.getByTestId("connect-headers").fill("Host: other.example");
    await page.getByTestId("connect").click();
    await page.getByTestId("connect-answer").filter({ hasText: "cannot be given" }).waitFor();
    assert.equal(await page.getByTestId("client").count(), 0);
  });

  test("a frame of another application is replayed, changed", async (t) => {
    const page = await open(t, foreign);
    await page.getByTestId("connect-headers").fill("X-Room: replays");
    await page.getByTestId("connect").click();
    const card = latest(page);
    await card.getByTestId("client-frame").fill('{"action":"echo","n":"first"}');
    const before = await items(page, "message", "echo").count();
    await card.getByTestId("client-send").click();
    await line(card, '"room": "replays"').waitFor();
    const echoes = items(page, "message", "echo");
    for (const end = Date.now() + 10_000; (await echoes.count()) <= before; ) {
      assert.ok(Date.now() < end, "the stream does not show the frame");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const item = page.locator(`[data-n="${await echoes.first().getAttribute("data-n")}"]`);
    await item.locator("summary").click();
    await item.getByTestId("frame").fill('{"action":"echo","n":"changed"}');
    await item.getByTestId("replay").click();
    await item.getByTestId("item-answer").filter({ hasText: '\\"n\\":\\"changed\\"' }).or(item.getByTestId("item-answer").filter({ hasText: '"n": "changed"' })).waitFor();
    assert.equal(await line(card, "changed").count(), 0); // the client gets nothing of it
  });

  test("its connections end with the page", async (t) => {
    const page = await open(t, foreign);
    await page.getByTestId("connect-headers").fill("X-Room: leaves");
    await page.getByTestId("connect").click();
    await latest(page).getByTestId("client-state").filter({ hasText: "open" }).waitFor();
    const before = (await foreign.connections()).length;
    await page.goto("about:blank");
    for (const end = Date.now() + 10_000; (await foreign.connections()).length >= before; ) {
      assert.ok(Date.now() < end, "the connection outlives the page");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });

  test("it talks to Bellhop's own API", async (t) => {
    const page = await open(t, own);
    assert.equal(await page.getByTestId("connect-subprotocols").inputValue(), "bellhop.v1");
    await page.getByTestId("connect-token").fill(own.token("ana")); // with the development secret there is a button that makes one
    await page.getByTestId("connect").click();
    const card = latest(page);
    await card.getByTestId("client-state").filter({ hasText: "open, bellhop.v1" }).waitFor();
    await card.getByTestId("client-route").selectOption("join");
    await card.getByTestId("client-send").click();
    await line(card, '"ok": true').waitFor();
  });

  test("on a telephone nothing is wider than the page, and keys alone are enough", async (t) => {
    const page = await open(t, foreign, { viewport: { width: 390, height: 800 } });
    await page.getByTestId("connect-headers").fill(`X-Room: ${"long".repeat(40)}`);
    await page.getByTestId("connect-query").fill("a=1");
    await page.getByTestId("connect-query").press("Enter");
    const card = latest(page);
    await card.getByTestId("client-frame").waitFor();
    assert.ok(await card.getByTestId("client-frame").evaluate((it) => it === document.activeElement), "the frame has the focus");
    await page.keyboard.press("Control+Enter");
    await line(card, "hello").first().waitFor();
    await card.getByTestId("client-route").selectOption("echo");
    await card.getByTestId("client-send").click();
    await line(card, "heard").waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
    await card.scrollIntoViewIfNeeded();
    await screenshot(page, "client-phone");
  });

  if (process.env.SCREENSHOTS) test("pictures for people to look at", async (t) => {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(t, foreign, { colorScheme });
      for (const [n, room] of [[1, "kitchen"], [2, "hall"]]) {
        await page.getByTestId("connect-headers").fill(`X-Room: ${room}`);
        await page.getByTestId("connect").click();
        await latest(page, n).getByTestId("client-route").selectOption("echo");
        await latest(page, n).getByTestId("client-send").click();
        await line(latest(page, n), "heard").waitFor();
      }
      await page.locator("#client").scrollIntoViewIfNeeded();
      await page.evaluate(() => document.getElementById("client").scrollIntoView());
      await screenshot(page, `client-${colorScheme}`);
    }
  });
});
