import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Bellhop, Windows, launch, screenshot } from "./harness.mjs";

// Client is a connection in a window of its own, by the protocol alone.
class Client {
  static async open(windows, bellhop, user, ...rooms) {
    const client = new Client();
    client.page = await windows.page();
    await client.page.route("**/console.js", (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
    await client.page.goto(`${bellhop.url}/_bellhop/`); // without its script it does nothing
    const token = bellhop.token(user);
    await client.page.evaluate(([address, bearer]) => new Promise((resolve, reject) => {
      window.seen = [];
      window.socket = new WebSocket(address, ["bellhop.v1", `bearer.${bearer}`]);
      window.socket.onmessage = ({ data }) => window.seen.push(JSON.parse(data));
      window.socket.onopen = resolve;
      window.socket.onerror = reject;
    }), [bellhop.url.replace("http", "ws") + "/dev", token]);
    for (const room of rooms) await client.ask({ action: "join", room });
    return client;
  }

  // ask sends an action and gives its reply.
  async ask(action) {
    const frame = { id: `ask-${Math.random()}`, ...action };
    await this.page.evaluate((it) => window.socket.send(JSON.stringify(it)), frame);
    const reply = await this.page.waitForFunction((id) => window.seen.find((each) => each.reply === id), frame.id);
    return reply.jsonValue();
  }

  got(event) {
    return this.page.waitForFunction((name) => window.seen.flatMap((each) => each.batch ?? [each]).find((each) => each.event === name), event).then((it) => it.jsonValue());
  }

  closed() {
    return this.page.waitForFunction(() => window.socket.readyState === WebSocket.CLOSED);
  }
}

const connection = (page, user) => page.locator(`[data-testid="connection"][data-user="${user}"]`);
const items = (page, kind, text) => page.locator(`[data-testid="item"][data-kind="${kind}"]`).filter({ hasText: text });
const amount = async (locator) => Number((await locator.textContent()).replace(/[^\d.]/g, ""));

describe("the console", { timeout: 180_000 }, () => {
  const bellhop = new Bellhop();
  let browser;
  before(async () => {
    await bellhop.start();
    browser = await launch();
  }, { timeout: 180_000 });
  after(async () => {
    await browser?.close();
    await bellhop.end();
  });

  async function open(t, options) {
    const windows = new Windows(t, browser, bellhop);
    const page = await windows.page({ viewport: { width: 1400, height: 1000 }, ...options });
    const response = await page.goto(`${bellhop.url}/_bellhop/`);
    assert.match(response.headers()["content-security-policy"], /default-src 'self'/);
    await page.getByTestId("state").filter({ hasText: "Live" }).waitFor();
    return { windows, page };
  }

  test("a connection is listed with its rooms, and a room with its members and presence", async (t) => {
    const { windows, page } = await open(t);
    await Client.open(windows, bellhop, "ana", "channel:kitchen", "community:town");
    await Client.open(windows, bellhop, "bob", "channel:kitchen");
    await connection(page, "ana").filter({ hasText: "channel:kitchen" }).filter({ hasText: "community:town" }).filter({ hasText: "user:ana" }).waitFor();
    await page.locator('[data-testid="room"][data-room="channel:kitchen"]').filter({ hasText: "2 users" }).getByRole("button").click();
    const room = page.getByTestId("room-dialog");
    await room.locator('[data-testid="member"][data-user="bob"]').waitFor();
    assert.equal(await room.getByTestId("member").count(), 2);
    await page.keyboard.press("Escape");
    await page.locator('[data-testid="room"][data-room="community:town"]').getByRole("button").click();
    await room.getByTestId("present").filter({ hasText: "ana: online" }).waitFor();
    await page.keyboard.press("Escape");

    await page.getByTestId("who").fill("BOB");
    await connection(page, "ana").waitFor({ state: "detached" });
    await connection(page, "bob").waitFor();
    await page.getByTestId("count").filter({ hasText: "1 of 2" }).waitFor();
  });

  test("what is sent to a room reaches its members, is seen in the stream, and is traced", async (t) => {
    const { windows, page } = await open(t);
    const ana = await Client.open(windows, bellhop, "ana", "channel:sending");
    await page.locator('[data-testid="room"][data-room="channel:sending"]').getByRole("button").click();
    await page.getByTestId("room-send").click();
    assert.equal(await page.getByTestId("send-room").inputValue(), "channel:sending");
    await page.getByTestId("send-event").fill("order:ready");
    await page.getByTestId("send-data").fill("{no json");
    await page.getByTestId("send-submit").click();
    await page.getByTestId("send-answer").filter({ hasText: "no JSON" }).waitFor();
    await page.getByTestId("send-data").fill('{"table":12}');
    await page.getByTestId("send-submit").click();
    await page.getByTestId("send-answer").filter({ hasText: "seq 1" }).waitFor();
    assert.deepEqual((await ana.got("order:ready")).data, { table: 12 });

    await page.getByTestId("send-trace").click();
    const steps = page.getByTestId("trace-result").getByTestId("step");
    await steps.filter({ hasText: "delivered" }).filter({ hasText: "ana" }).waitFor();
    assert.deepEqual(await steps.evaluateAll((list) => list.map((each) => each.dataset.what)), ["received", "logged", "delivered"]);
    await page.keyboard.press("Escape");

    const pushed = items(page, "push", "order:ready").filter({ hasText: "ana" });
    await pushed.locator("summary").click();
    await pushed.locator("pre").filter({ hasText: '"table": 12' }).waitFor();
    await items(page, "invoke", "publish").first().waitFor();
    await pushed.getByTestId("send-again").click();
    assert.equal(await page.getByTestId("send-event").inputValue(), "order:ready");
    await page.getByTestId("send-submit").click();
    await page.getByTestId("send-answer").filter({ hasText: "seq 2" }).waitFor();
  });

  test("the stream is filtered, searched and paused", async (t) => {
    const { windows, page } = await open(t);
    const ana = await Client.open(windows, bellhop, "searcher", "channel:needles");
    await ana.ask({ action: "publish", room: "channel:needles", event: "message:new", data: { content: "a needle" } });
    await ana.ask({ action: "publish", room: "channel:nowhere", event: "message:new", data: { content: "hay" } });
    await items(page, "push", "message:new channel:needles").waitFor();
    await page.getByTestId("problems").check();
    await items(page, "push", "message:new").waitFor({ state: "detached" });
    await items(page, "reply", "not_in_room").waitFor();
    await page.getByTestId("problems").uncheck();
    await page.getByTestId("search").fill("NEEDLE searcher");
    await items(page, "connect", "").first().waitFor({ state: "detached" });
    await items(page, "message", "publish channel:needles").waitFor();
    assert.equal(await items(page, "message", "channel:nowhere").count(), 0);
    await page.getByTestId("kind-message").uncheck();
    await items(page, "message", "publish").waitFor({ state: "detached" });
    await items(page, "push", "channel:needles").waitFor();
    await page.getByTestId("kind-message").check();
    await page.getByTestId("search").fill("searcher");

    await page.getByTestId("pause").click();
    await ana.ask({ action: "publish", room: "channel:needles", event: "message:new", data: { content: "while paused" } });
    await page.getByTestId("stream-count").filter({ hasText: /paused, [1-9]/ }).waitFor();
    assert.equal(await items(page, "push", "seq 2").count(), 0);
    await page.getByTestId("pause").click();
    await items(page, "push", "seq 2").waitFor();

    await page.getByTestId("clear").click();
    await items(page, "push", "seq 2").waitFor({ state: "detached" });
  });

  test("a frame is replayed as the connection that sent it, changed or not", async (t) => {
    const { windows, page } = await open(t);
    const ana = await Client.open(windows, bellhop, "ana", "channel:replay");
    await ana.ask({ action: "publish", id: "once", room: "channel:replay", event: "message:new", data: { content: "first" } });
    const item = items(page, "message", "publish channel:replay");
    await item.locator("summary").click();
    await item.getByTestId("replay").click();
    // The same id again: answered with the seq that it has already.
    await item.getByTestId("item-answer").filter({ hasText: '"seq": 1' }).waitFor();
    const frame = item.getByTestId("frame");
    await frame.fill((await frame.inputValue()).replace("once", "twice").replace("first", "second"));
    await item.getByTestId("replay").click();
    await item.getByTestId("item-answer").filter({ hasText: '"seq": 2' }).waitFor();
    await ana.page.waitForFunction(() => window.seen.some((each) => each.data?.content === "second" && each.from.userId === "ana"));
    await frame.fill('{"action":"publish","id":"x","room":"channel:other","event":"message:new"}');
    await item.getByTestId("replay").click();
    await item.getByTestId("item-answer").filter({ hasText: "not_in_room" }).waitFor();
  });

  test("a connection is pushed to, its token expired, and disconnected", async (t) => {
    const { windows, page } = await open(t);
    const ana = await Client.open(windows, bellhop, "ana", "channel:ends");
    const bob = await Client.open(windows, bellhop, "bob", "channel:ends");
    await connection(page, "ana").getByRole("button").click();
    await page.getByTestId("push-frame").fill('{"event":"from:above"}');
    await page.getByTestId("push").click();
    await page.getByTestId("connection-answer").filter({ hasText: "Pushed" }).waitFor();
    await ana.got("from:above");
    await page.getByTestId("expire").click();
    assert.equal((await ana.got("session:ending")).data.reason, "expired");
    await ana.closed();
    await connection(page, "ana").waitFor({ state: "detached" });
    await page.getByTestId("push").click();
    await page.getByTestId("connection-answer").filter({ hasText: "closed" }).waitFor();
    await page.keyboard.press("Escape");

    await connection(page, "bob").getByRole("button").click();
    await page.getByTestId("disconnect").click();
    assert.equal((await bob.got("session:ending")).data.reason, "closed from the console");
    await bob.closed();
    await connection(page, "bob").waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
    await items(page, "disconnect", "bob").first().waitFor();
    windows.tolerated = /410/;
  });

  test("the cost meter counts what happens, by room, user and event", async (t) => {
    const { windows, page } = await open(t);
    const before = await amount(page.getByTestId("meter-now"));
    const ana = await Client.open(windows, bellhop, "spender", "channel:expensive");
    for (let i = 0; i < 5; i++) await ana.ask({ action: "publish", room: "channel:expensive", event: "message:new", data: i });
    const share = page.locator('[data-testid="share"][data-name="channel:expensive"]');
    await share.waitFor();
    // A join and five messages, each with its reply and one push.
    await share.locator("td").first().filter({ hasText: /^17$/ }).waitFor();
    assert.ok((await amount(page.getByTestId("meter-now"))) > before);
    await page.getByTestId("meter-month").filter({ hasText: "a month" }).waitFor();
    await page.getByTestId("share-by").selectOption("users");
    await page.locator('[data-testid="share"][data-name="spender"]').waitFor();
    await page.getByTestId("share-by").selectOption("events");
    await page.locator('[data-testid="share"][data-name="message:new"]').waitFor();
    assert.ok((await amount(page.locator('[data-item="writeUnits"] td').first())) >= 5);
    await page.setViewportSize({ width: 390, height: 800 });
    for (const name of ["typing", "coalesce"]) { // its name in one line, and all of what to change in sight
      const [head, change] = await page.evaluate((lever) => ["th", ".change td"].map((part) => document.querySelector(`${lever} ${part}`).getBoundingClientRect().toJSON()),
        `[data-testid="lever"][data-name="${name}"]`); // at once, since the table is made anew every second
      assert.ok(head.height < 40 && change.right <= 390, `${name}: ${JSON.stringify([head, change])}`);
    }
  });

  test("the charts show the last minutes", async (t) => {
    const { windows, page } = await open(t);
    const ana = await Client.open(windows, bellhop, "ana", "channel:charts");
    await ana.ask({ action: "publish", room: "channel:charts", event: "message:new", data: 1 });
    await page.getByTestId("chart-messages").locator("path.line-0[d^=M]").waitFor({ state: "attached" });
    await page.getByTestId("chart-latency").filter({ hasText: /p50 [\d.]+ ms/ }).waitFor();
    await page.getByTestId("chart-invocations").filter({ hasText: /all \d/ }).waitFor();
  });

  test("it comes back after the server does", async (t) => {
    const { windows, page } = await open(t);
    windows.tolerated = /ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|Failed to load resource|ERR_CONNECTION_RESET/;
    await bellhop.stop();
    await page.getByTestId("state").filter({ hasText: "Cannot refresh" }).waitFor();
    const stream = page.waitForResponse((response) => response.url().endsWith("/events") && response.ok());
    await bellhop.start();
    await page.getByTestId("state").filter({ hasText: "Live" }).waitFor();
    await stream; // the browser opens it again by itself
    await Client.open(windows, bellhop, "returned", "channel:again");
    await items(page, "connect", "returned").waitFor();
  });

  test("on a phone everything is large enough for fingers, and nothing is wider than it", async (t) => {
    const { windows } = await open(t);
    const phone = await windows.page({ viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true });
    await phone.goto(`${bellhop.url}/_bellhop/`);
    await phone.getByTestId("state").filter({ hasText: "Live" }).waitFor();
    for (const target of await phone.locator("button:visible, header a:visible, select:visible, label:has(> input):visible, input:visible:not([type=checkbox])").all()) {
      const { height } = await target.boundingBox();
      assert.ok(height >= 44, `${await target.evaluate((element) => element.outerHTML)} is ${height} pixels high`);
    }
    assert.equal(await phone.evaluate(() => document.documentElement.scrollWidth), 390);
  });

  if (process.env.SCREENSHOTS) test("pictures for people to look at", async (t) => {
    const { windows, page } = await open(t);
    const dark = await windows.page({ viewport: { width: 1400, height: 1000 }, colorScheme: "dark" });
    const phone = await windows.page({ viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true });
    for (const each of [dark, phone]) await each.goto(`${bellhop.url}/_bellhop/`);
    const clients = [];
    for (const user of ["ana", "bob", "carla", "dimitri-papadopoulos"]) clients.push(await Client.open(windows, bellhop, user, "channel:kitchen", "community:town"));
    for (let i = 0; i < 40; i++) {
      const client = clients[i % 4];
      await client.ask({ action: "publish", room: "channel:kitchen", event: "message:new", data: { content: `Message number ${i}, about the soup` } });
      await client.page.evaluate(() => window.socket.send(JSON.stringify({ action: "typing:start", channelId: "kitchen" })));
    }
    await clients[0].ask({ action: "publish", room: "channel:secret", event: "message:new", data: 1 });
    for (const each of [page, dark, phone]) await each.getByTestId("chart-messages").locator("path.line-0[d^=M]").waitFor({ state: "attached" });
    await items(page, "push", "message:new").first().locator("summary").click();
    await items(page, "message", "publish").first().locator("summary").click();
    await screenshot(page, "console-light");
    await page.locator("#cost").scrollIntoViewIfNeeded();
    await screenshot(page, "console-cost");
    await screenshot(dark, "console-dark");
    await screenshot(phone, "console-phone");
    await phone.locator("#stream-title").scrollIntoViewIfNeeded();
    await screenshot(phone, "console-phone-stream");
    await page.evaluate(() => scrollTo(0, 0));
    await connection(page, "ana").getByRole("button").click();
    await screenshot(page, "console-connection");
    await page.keyboard.press("Escape");
    await page.locator('[data-testid="room"][data-room="community:town"]').getByRole("button").click();
    await page.getByTestId("present").first().waitFor();
    await screenshot(page, "console-room");
    await page.keyboard.press("Escape");
    await page.getByTestId("open-trace").click();
    await page.getByTestId("trace-submit").click();
    await page.getByTestId("trace-result").getByRole("button").first().waitFor();
    await screenshot(page, "console-traces");
    await page.getByTestId("trace-result").getByRole("button").first().click();
    await page.getByTestId("step").first().waitFor();
    await screenshot(page, "console-trace");
    await page.keyboard.press("Escape");
    await dark.getByTestId("open-send").click();
    await screenshot(dark, "console-send");
  });
});
