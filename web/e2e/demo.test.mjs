import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Bellhop, Windows, connected, launch, message, person, say, screenshot } from "./harness.mjs";

const resumed = (page, missed) => page.getByTestId("note").filter({ hasText: `Reconnected: ${missed}` });
const contents = (page) => page.getByTestId("message-content").allTextContents();

describe("the demo page", { timeout: 400_000 }, () => {
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

  test("two people log in and talk, and each sees every message once", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.page();
    const response = await ana.goto(bellhop.url);
    assert.match(response.headers()["content-security-policy"], /default-src 'self'/);
    await screenshot(ana, "login");
    await ana.getByTestId("login-name").fill("Ana");
    await ana.getByTestId("login-channel").fill("talk");
    await ana.getByTestId("login-submit").click();
    await connected(ana);
    assert.equal(new URL(ana.url()).searchParams.get("user"), "Ana");
    const bob = await windows.login({ user: "bob", channel: "talk" });

    await say(ana, "hello bob");
    await message(bob, "hello bob").waitFor();
    await say(bob, "hello ana");
    await bob.getByTestId("content").fill("with the key");
    await bob.getByTestId("content").press("Enter");
    await message(ana, "with the key").waitFor();
    for (const page of [ana, bob]) {
      await message(page, "with the key").waitFor();
      assert.deepEqual(await page.getByTestId("message-content").allTextContents(), ["hello bob", "hello ana", "with the key"]);
    }
  });

  test("the same hooks work over socket.io-client, beside a window with the client's own WebSocket", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const bob = await windows.login({ user: "bob", channel: "over" });
    const olga = await windows.login({ user: "olga", channel: "over" });
    const sockets = [];
    olga.on("websocket", (socket) => sockets.push(socket.url()));
    await olga.getByTestId("over").click();
    await connected(olga);
    assert.equal(new URL(olga.url()).searchParams.get("over"), "socket.io");
    assert.deepEqual(sockets.map((url) => new URL(url).pathname), ["/socket.io/"]);

    await olga.getByTestId("content").pressSequentially("over ");
    await bob.getByTestId("typing").filter({ hasText: "Olga is typing…" }).waitFor();
    await say(olga, "over Socket.IO");
    await message(bob, "over Socket.IO").waitFor();
    await say(bob, "over a WebSocket");
    await message(olga, "over a WebSocket").waitFor();
    await person(bob, "olga").waitFor();
    await person(olga, "bob").waitFor();
    await bellhop.emit("olga", "notification:new", { title: "For Olga" });
    await olga.getByTestId("unread").filter({ hasText: "1 unread" }).waitFor();
    await screenshot(olga, "over-socket.io");

    await olga.getByTestId("cut").click();
    await say(bob, "while you were away");
    await resumed(olga, "1 missed event came back, nothing lost.").waitFor({ timeout: 25_000 });
    await message(olga, "while you were away").waitFor();
    assert.deepEqual(await contents(olga), ["over Socket.IO", "over a WebSocket", "while you were away"]);
  });

  test("typing is seen, and is gone with the message or after a while", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "ana", channel: "typing" });
    const bob = await windows.login({ user: "bob", channel: "typing" });
    const typing = bob.getByTestId("typing").filter({ hasText: "Ana is typing…" });

    await ana.getByTestId("content").pressSequentially("hel");
    await typing.waitFor();
    assert.equal(await ana.getByTestId("typing").textContent(), "");
    await ana.getByTestId("send").click();
    await message(bob, "hel").waitFor();
    await typing.waitFor({ state: "detached" });

    await ana.getByTestId("content").pressSequentially("never sent");
    await typing.waitFor();
    await typing.waitFor({ state: "detached" });
    assert.equal(await message(bob, "never sent").count(), 0);
  });

  test("a deleted message is gone for all, now and in the history", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "ana", channel: "deleting" });
    const bob = await windows.login({ user: "bob", channel: "deleting" });
    await say(ana, "a secret");
    await message(bob, "a secret").waitFor();
    assert.equal(await bob.getByTestId("delete").count(), 0, "others cannot delete it");

    await message(ana, "a secret").hover();
    await ana.getByTestId("delete").click();
    await bob.getByTestId("message").waitFor({ state: "detached" });
    await ana.getByTestId("message").waitFor({ state: "detached" });
    assert.equal(await ana.evaluate(() => document.activeElement.dataset.testid), "content", "the focus is not lost with it");
    await say(ana, "not a secret");
    await message(bob, "not a secret").waitFor();
    await bob.reload();
    await message(bob, "not a secret").waitFor();
    assert.deepEqual(await contents(bob), ["not a secret"]);
  });

  test("presence shows who is there and how, until the grace of who left is over", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "ana", community: "village" });
    const bob = await windows.login({ user: "bob", community: "village" });
    for (const page of [ana, bob]) {
      await person(page, "ana").waitFor();
      await person(page, "bob").waitFor();
    }
    await bob.getByTestId("status").selectOption("away");
    await person(ana, "bob", "away").waitFor();
    const carla = await windows.login({ user: "carla", community: "village" });
    await person(carla, "bob", "away").waitFor();

    await bob.reload();
    await connected(bob);
    assert.equal(await bob.getByTestId("status").inputValue(), "away", "a reload keeps the status");
    await carla.context().close();
    await person(ana, "carla").waitFor();
    await person(ana, "carla").waitFor({ state: "detached", timeout: 20_000 });
    await person(bob, "carla").waitFor({ state: "detached" });
    await person(ana, "bob", "away").waitFor();
  });

  test("a notification rings in every window, is read in all, and stays read", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const first = await windows.login({ user: "nora" });
    const second = await windows.login({ user: "nora" });
    await bellhop.emit("nora", "notification:new", { title: "Hello", body: "You have mail." });
    await bellhop.emit("nora", "notification:new", { title: "Goodbye" });
    const unread = (page, count) => page.getByTestId("unread").filter({ hasText: new RegExp(`^${count} unread$`) });
    await unread(first, 2).waitFor();
    await unread(second, 2).waitFor();
    await first.getByTestId("toast").filter({ hasText: "Hello" }).waitFor();

    const hello = (page, read) => page.locator(`[data-testid="notification"][data-read="${read}"]`).filter({ hasText: "Hello" });
    await first.getByTestId("bell").click();
    await hello(first, false).getByTestId("mark-read").click();
    await hello(first, true).waitFor();
    await screenshot(first, "notifications");
    await unread(second, 1).waitFor();
    await second.reload();
    await unread(second, 1).waitFor();
    await second.getByTestId("bell").click();
    await hello(second, true).waitFor();
    await second.getByTestId("read-all").click();
    await first.getByTestId("unread").waitFor({ state: "hidden" });
    await second.getByTestId("unread").waitFor({ state: "hidden" });
  });

  test("buddies' goals and check-ins are listed, once", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const page = await windows.login({ user: "otto" });
    await bellhop.emit("otto", "buddy:goal-completed", { title: "Run 5 km", name: "Ana" });
    await bellhop.emit("otto", "buddy:check-in", { note: "Day 3" });
    const items = page.getByTestId("activity-item");
    await items.filter({ hasText: "A buddy checked in: Day 3" }).waitFor();
    await page.reload();
    await items.filter({ hasText: "Ana completed a goal: Run 5 km" }).waitFor();
    assert.equal(await items.count(), 2);
  });

  test("what people and programs say stays text", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const evil = `<img src=x onerror="document.title='evil'"><b>bold</b>`;
    const ana = await windows.login({ user: evil, channel: "text", community: "text" });
    const bob = await windows.login({ user: "bob", channel: "text", community: "text" });
    await ana.getByTestId("content").pressSequentially("<");
    await bob.getByTestId("typing").filter({ hasText: "is typing" }).waitFor();
    await say(ana, evil);
    await message(bob, evil).waitFor();
    await bellhop.emit("bob", "notification:new", { title: evil, body: evil });
    await bellhop.emit("bob", "buddy:check-in", { note: evil });
    await bellhop.emit("channel:text", "poll:opened", { html: evil });
    await bellhop.emit("community:text", "presence:changed", { userId: "eve", name: evil, status: evil });
    await bob.getByTestId("note").filter({ hasText: "poll:opened" }).waitFor();
    await bob.getByTestId("activity-item").waitFor();
    await bob.locator('[data-testid="person"][data-user="eve"]').waitFor();
    for (const page of [ana, bob]) {
      assert.equal(await page.locator('img[src="x"]').count(), 0);
      assert.doesNotMatch(await page.title(), /evil/);
    }
  });

  test("history is there after a reload, and older pages as one scrolls back", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "ana", channel: "long" });
    const all = Array.from({ length: 120 }, (_, n) => `message ${n + 1}`);
    for (const content of all) await bellhop.publish("channel:long", { content });
    await message(ana, "message 120").waitFor();
    await ana.reload();
    await message(ana, "message 120").waitFor();
    await say(ana, "loaded"); // its answer comes after those to all that was asked before
    await message(ana, "loaded").waitFor();
    all.push("loaded");
    assert.deepEqual(await contents(ana), all.slice(70), "no more than a page, without being asked");
    assert.ok(await inView(ana, "loaded"), "the newest is in view");

    await ana.getByTestId("scroll").hover();
    await ana.mouse.wheel(0, -100_000);
    await message(ana, "message 21").waitFor();
    assert.ok(await inView(ana, "message 71"), "what was read stays where it was");
    await say(await windows.login({ user: "bob", channel: "long" }), "a new one");
    await message(ana, "a new one").waitFor();
    assert.ok(await inView(ana, "message 71"));
    await ana.getByTestId("newest").waitFor();

    await ana.getByTestId("older").focus();
    await ana.keyboard.press("Enter");
    await message(ana, "message 1").waitFor();
    await ana.getByTestId("older").waitFor({ state: "detached" });
    await screenshot(ana, "scrolled-back");
    await ana.getByTestId("newest").click();
    await ana.getByTestId("newest").waitFor({ state: "detached" });
    assert.ok(await inView(ana, "a new one"));
    assert.deepEqual(await contents(ana), [...all, "a new one"]);
  });

  test("what cannot be sent as it is says why, and can only be discarded", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "ana", channel: "large" });
    await say(ana, "x".repeat(33_000));
    const failed = ana.locator('[data-testid="message"][data-state="failed"]');
    await failed.filter({ hasText: "(too_large)" }).waitFor();
    assert.equal(await failed.getByTestId("retry").count(), 0);
    await failed.getByTestId("discard").click();
    assert.equal(await ana.getByTestId("message").count(), 0);
    await say(ana, "short");
    await message(ana, "short").waitFor();
  });

  test("a message that has failed is sent when one tries again, once", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    let refused = 0;
    const refuse = (ws) => {
      const server = ws.connectToServer();
      ws.onMessage((frame) => {
        const { action, id, data } = JSON.parse(frame);
        if (action !== "publish" || data?.content !== "second time lucky" || refused++) return server.send(frame);
        ws.send(JSON.stringify({ reply: id, ok: false, error: { code: "internal", message: "Something went wrong.", retry: false } }));
      });
    };
    const ana = await windows.login({ user: "ana", channel: "retries", prepare: (page) => page.routeWebSocket(/\/dev$/, refuse) });
    const bob = await windows.login({ user: "bob", channel: "retries" });
    await say(ana, "second time lucky");
    await message(ana, "second time lucky", "failed").filter({ hasText: "Something went wrong. (internal)" }).waitFor();
    await say(ana, "meanwhile");
    await message(bob, "meanwhile").waitFor();
    await ana.getByTestId("retry").click();
    for (const page of [ana, bob]) {
      await message(page, "second time lucky").waitFor();
      assert.deepEqual(await contents(page), ["meanwhile", "second time lucky"]);
    }
  });

  test("a name that the server refuses is explained in the form", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    windows.tolerated = /status of 400/;
    const page = await windows.page();
    await page.goto(`${bellhop.url}/?user=!!!`);
    await page.getByTestId("login-error").filter({ hasText: "Names need at least one letter or digit." }).waitFor();
    await page.route("**/_bellhop/token", (route) => route.fulfill({ status: 400, json: { error: "No such user." } }));
    await page.getByTestId("login-name").fill("Ana");
    await page.getByTestId("login-submit").click();
    await page.getByTestId("login-error").filter({ hasText: "No such user." }).waitFor();
  });

  test("a lost connection comes back by itself and has missed nothing", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    let away = false;
    const prepare = (page) => page.route("**/_bellhop/token", (route) => (away ? route.abort() : route.continue()));
    windows.tolerated = /ERR_FAILED/; // the attempts while away
    const ana = await windows.login({ user: "ana", channel: "flaky" });
    const bob = await windows.login({ user: "bill", channel: "flaky", prepare });
    away = true;
    await bellhop.cut("bill");
    await bob.locator('[data-testid="connection"][data-state="connecting"]').waitFor();
    await say(ana, "are you there?");
    await message(ana, "are you there?").waitFor();
    await say(bob, "written offline");
    await message(bob, "written offline", "pending").waitFor();
    away = false;
    await connected(bob);
    await resumed(bob, "1 missed event came back, nothing lost.").waitFor();
    await message(bob, "are you there?").waitFor();
    await message(ana, "written offline").waitFor();
    await message(bob, "written offline").waitFor();
    assert.equal(await person(ana, "bill").count(), 1, "nobody saw it go");
  });

  test("the button really cuts the connection, and then nothing is lost and nothing doubled", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "cut-ana", channel: "cut" });
    const bob = await windows.login({ user: "bob", channel: "cut" });
    await say(ana, "before");
    await message(bob, "before").waitFor();
    await ana.getByTestId("cut").click();
    const since = Date.now();
    await ana.locator('[data-testid="connection"][data-state="connecting"]').filter({ hasText: /Cut for \d+ s/ }).waitFor();
    while ((await bellhop.connections()).some(({ user }) => user === "cut-ana")) assert.ok(Date.now() < since + 5_000, "the server knows");
    for (let n = 1; n <= 5; n++) {
      await say(bob, `missed ${n}`);
      await message(bob, `missed ${n}`).waitFor();
    }
    await bellhop.emit("cut-ana", "notification:new", { title: "Missed you" });
    await say(ana, "from the dark");
    await message(ana, "from the dark", "pending").filter({ hasText: "Waits for the connection" }).waitFor();
    assert.equal(await message(ana, "missed 1").count(), 0, "nothing comes through");
    await screenshot(ana, "cut");
    await ana.locator('[data-testid="connection"][data-state="open"]').waitFor({ timeout: 15_000 });
    assert.ok(Date.now() - since > 9_000, `it was cut for ${Date.now() - since} ms only`);
    await resumed(ana, "5 missed events came back, nothing lost.").waitFor();
    await ana.getByTestId("resume").filter({ hasText: /missed events came back \(5 in #cut, .*1 in your own room\), nothing lost/ }).waitFor();
    await ana.getByTestId("unread").filter({ hasText: /^1 unread$/ }).waitFor();
    for (const page of [ana, bob]) {
      await message(page, "from the dark").waitFor();
      assert.deepEqual(await contents(page), ["before", "missed 1", "missed 2", "missed 3", "missed 4", "missed 5", "from the dark"]);
    }
    await screenshot(ana, "resumed");
  });

  test("a limit on how long a connection may last, as API Gateway's two hours, is not noticed", async (t) => {
    const short = new Bellhop();
    const windows = new Windows(t, browser, short);
    t.after(() => short.end()); // after its windows
    await short.start("--max-connection", "3s");
    const ana = await windows.login({ user: "ana", channel: "limited" });
    const bob = await windows.login({ user: "bob", channel: "limited" });
    const sent = [];
    const times = async (page) => Number((await page.getByTestId("resume").getAttribute("data-times").catch(() => 0)) ?? 0);
    await say(ana, "begin");
    await message(bob, "begin").waitFor();
    while ((await times(ana)) < 2 || (await times(bob)) < 2) {
      assert.ok(sent.length < 1_000, "both are cut several times");
      sent.push(`tick ${sent.length + 1}`);
      await short.publish("channel:limited", { content: sent.at(-1) });
    }
    for (const page of [ana, bob]) {
      await message(page, sent.at(-1)).waitFor();
      assert.deepEqual(await contents(page), ["begin", ...sent]);
    }
    assert.equal(await person(ana, "bob").count(), 1, "nobody saw anybody go");
  });

  test("a server that restarts finds its clients again, and they their history", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    windows.tolerated = /ERR_CONNECTION_REFUSED|WebSocket|status of 50/;
    const ana = await windows.login({ user: "ana", channel: "restart" });
    const bob = await windows.login({ user: "bob", channel: "restart" });
    await say(ana, "before");
    await message(bob, "before").waitFor();
    await bellhop.stop();
    await ana.locator('[data-testid="connection"][data-state="connecting"]').waitFor();
    await say(ana, "meanwhile");
    await message(ana, "meanwhile", "pending").waitFor();
    await bellhop.start();
    await ana.bringToFront();
    await message(ana, "meanwhile").waitFor({ timeout: 30_000 });
    await message(bob, "meanwhile").waitFor({ timeout: 30_000 });
    assert.deepEqual(await bob.getByTestId("message-content").allTextContents(), ["before", "meanwhile"]);
    await person(ana, "bob").waitFor();
  });

  test("a token that expires is replaced, and what was written then is sent", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const expires = Date.now() + 3_000;
    const token = bellhop.token("tess", { ttl: 3 });
    const prepare = (page) => page.route("**/_bellhop/token", (route) => route.fulfill({ json: { token } }), { times: 1 });
    const tess = await windows.login({ user: "tess", channel: "expiry", prepare });
    await tess.waitForFunction((at) => Date.now() > at + 1_000, expires);
    await say(tess, "not too late");
    await message(tess, "not too late").waitFor();
    assert.equal(await tess.getByTestId("toast").count(), 0);
  });

  test("frames that are lost, doubled, late or in batches change nothing", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    let late = null;
    const tamper = (ws) => {
      const server = ws.connectToServer();
      server.onMessage((frame) => {
        const { event, data } = frame ? JSON.parse(frame) : {};
        if (event !== "message:new") return ws.send(frame);
        if (data.content === "lost") return;
        if (data.content === "late") return (late = frame);
        if (data.content === "doubled") ws.send(frame);
        ws.send(`{"batch":[${[frame, late].filter(Boolean)}]}`);
        late = null;
      });
    };
    const bob = await windows.login({ user: "bob", channel: "holes", prepare: (page) => page.routeWebSocket(/\/dev$/, tamper) });
    const ana = await windows.login({ user: "ana", channel: "holes" });
    const said = ["one", "doubled", "lost", "two", "late", "three"];
    for (const text of said) {
      await say(ana, text);
      await message(ana, text).waitFor();
    }
    await message(bob, "three").waitFor();
    assert.deepEqual(await bob.getByTestId("message-content").allTextContents(), said);
  });

  test("who is thrown out is told why, and comes back only when asked to", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const page = await windows.login({ user: "paul", prepare: (page) => page.clock.install() });
    let opened = 0;
    page.on("websocket", () => opened++);
    await bellhop.command({ command: "disconnect", user: "paul", reason: "spam" });
    await page.locator('[data-testid="connection"][data-state="closed"]').waitFor();
    await page.getByTestId("toast").filter({ hasText: "ended this session: spam" }).waitFor();
    await page.clock.fastForward(60_000);
    assert.equal(opened, 0, "a minute later it has not come back");
    assert.deepEqual(await bellhop.connections("paul"), []);
    await page.getByTestId("reconnect").click();
    await connected(page);
  });

  test("another channel has its own messages, and the address leads back to it", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "ana", channel: "red" });
    const bob = await windows.login({ user: "bob", channel: "blue" });
    await say(ana, "in red");
    await message(ana, "in red").waitFor();
    await ana.getByTestId("channel").fill("Blue");
    await ana.getByTestId("channel-join").click();
    await say(ana, "in blue");
    await message(bob, "in blue").waitFor();
    await ana.reload();
    await message(ana, "in blue").waitFor();
    assert.equal(await message(ana, "in red").count(), 0);
  });

  test("channels count what is said in them while one looks elsewhere", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "ana", channel: "kitchen" });
    const bob = await windows.login({ user: "bob", channel: "kitchen" });
    const tab = (page, name) => page.locator(`[data-testid="channel-tab"][data-channel="${name}"]`);
    await tab(ana, "random").click();
    await tab(ana, "random").and(ana.locator("[aria-current]")).waitFor();
    await say(bob, "dinner");
    await say(bob, "is ready");
    await tab(ana, "kitchen").filter({ hasText: "2 new messages" }).waitFor();
    assert.equal(await ana.getByTestId("message").count(), 0);
    await tab(ana, "kitchen").click();
    await message(ana, "is ready").waitFor();
    assert.equal(await ana.getByTestId("channel-unread").count(), 0);
    assert.equal(new URL(ana.url()).searchParams.get("channel"), "kitchen");
  });

  test("two users side by side in one window", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const page = await windows.page({ viewport: { width: 1400, height: 800 } });
    await page.goto(bellhop.url);
    await page.getByTestId("side").click();
    const [ana, bob] = ["ana", "bob"].map((name) => page.frameLocator(`[data-testid="side-${name}"]`));
    await connected(ana);
    await connected(bob);
    await ana.getByTestId("content").pressSequentially("hello ");
    await bob.getByTestId("typing").filter({ hasText: "Ana is typing…" }).waitFor();
    assert.deepEqual((await page.locator("figcaption").allTextContents()).map((text) => text.slice(2)), ["Ana", "Bob"]);
    await screenshot(page, "side-by-side");
    await say(ana, "hello neighbour");
    await message(bob, "hello neighbour").waitFor();
    await ana.getByTestId("cut").click();
    await ana.locator('[data-testid="connection"][data-state="connecting"]').waitFor();
    await bob.locator('[data-testid="connection"][data-state="open"]').waitFor();
    await say(bob, "still there?");
    await message(bob, "still there?").waitFor();
    await resumed(ana, "1 missed event").waitFor({ timeout: 15_000 });
    await message(ana, "still there?").waitFor();
    await screenshot(page, "side-by-side-resumed");
  });

  test("all of it can be done with the keyboard", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.page();
    await ana.goto(`${bellhop.url}/?channel=keys`);
    await ana.locator('[data-testid="login-name"]:focus').waitFor();
    await ana.keyboard.type("Kim");
    await ana.keyboard.press("Enter");
    await connected(ana);
    const focused = () => ana.evaluate(() => document.activeElement?.closest("[data-testid]")?.dataset.testid);
    const ring = () => ana.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    const walk = async (key, testid) => {
      for (let steps = 0; (await focused()) !== testid; steps++) {
        assert.ok(steps < 40, `${key} leads to ${testid}`);
        await ana.keyboard.press(key);
        assert.equal(await ring(), "solid", `the focus on ${await focused()} is to be seen`);
      }
    };
    assert.equal(await focused(), "content");
    await ana.keyboard.type("one line");
    await ana.keyboard.press("Shift+Enter");
    await ana.keyboard.type("and another");
    await ana.keyboard.press("Enter");
    await ana.locator('[data-testid="message"][data-state="sent"]').filter({ hasText: "one line\nand another" }).waitFor();
    await walk("Shift+Tab", "delete");
    await ana.keyboard.press("Enter");
    await ana.getByTestId("message").waitFor({ state: "detached" });
    assert.equal(await focused(), "content");

    await bellhop.emit("kim", "notification:new", { title: "Press a key" });
    await ana.getByTestId("unread").waitFor();
    await walk("Shift+Tab", "bell");
    await ana.keyboard.press("Enter");
    await ana.locator('[data-testid="notification"][data-read="false"]').waitFor();
    await walk("Tab", "mark-read");
    await ana.keyboard.press("Enter");
    await ana.locator('[data-testid="notification"][data-read="true"]').waitFor();
    await ana.keyboard.press("Escape");
    await ana.getByTestId("notifications").waitFor({ state: "hidden" });

    await walk("Shift+Tab", "status");
    await ana.keyboard.press("ArrowDown");
    await person(ana, "kim", "away").waitFor();
    await walk("Tab", "channel");
    await ana.keyboard.type("Other keys");
    await ana.keyboard.press("Enter");
    await ana.locator('[data-testid="channel-tab"][data-channel="other-keys"][aria-current]').waitFor();
  });

  test("a phone shows one part at a time, and nothing sticks out", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    for (const width of [390, 320]) {
      const page = await windows.login({ user: "ana", channel: `phone-${width}`, viewport: { width, height: 700 }, hasTouch: true, isMobile: true });
      await say(page, `${"long ".repeat(30)} https://example.org/${"x".repeat(120)}`);
      await page.locator('[data-testid="message"][data-state="sent"]').waitFor();
      for (const view of ["people", "activity", "try", "chat"]) {
        await page.locator(`[data-show="${view}"]`).tap();
        await page.locator(`[data-part="${view}"]`).first().waitFor();
        assert.equal(await page.locator("[data-part]:visible").evaluateAll((parts, view) => parts.filter((part) => part.dataset.part !== view).length, view), 0);
        const out = await page.evaluate(() =>
          [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility() && !each.closest(".sr, h1, .me, .channels ul") && each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML.slice(0, 100)));
        assert.deepEqual(out, [], `in ${view} at ${width} pixels`);
      }
    }
  });

  for (const colorScheme of ["light", "dark"]) {
    test(`words stand out from what is behind them, ${colorScheme}`, async (t) => {
      const windows = new Windows(t, browser, bellhop);
      windows.tolerated = /^$/;
      const where = { channel: `contrast-${colorScheme}`, community: "contrast" };
      const bob = await windows.login({ user: "bob", ...where });
      const ana = await windows.login({ user: "ana", ...where, colorScheme, reducedMotion: "reduce" });
      await bellhop.emit("ana", "notification:new", { title: "Read me", body: "please" });
      await bellhop.emit("ana", "buddy:check-in", { note: "Day 3" });
      await bellhop.emit(`channel:${where.channel}`, "poll:opened", { on: "colours" });
      await say(bob, "hello");
      await say(ana, "hi");
      await message(ana, "hi").hover();
      await say(ana, "z".repeat(33_000));
      await ana.getByTestId("discard").waitFor();
      await ana.locator('[data-testid="channel-tab"][data-channel="random"]').hover();
      await bob.getByTestId("content").pressSequentially("I");
      await ana.getByTestId("typing").filter({ hasText: "typing" }).waitFor();
      assert.equal(await ana.locator(".dots i").first().evaluate((dot) => getComputedStyle(dot).animationName), "none", "nothing moves for who wants no motion");
      await ana.getByTestId("bell").click();
      assert.deepEqual(await ana.evaluate(faint), []);
      await ana.goto(bellhop.url);
      await ana.getByTestId("login").waitFor();
      assert.deepEqual(await ana.evaluate(faint), []);
    });
  }

  test("somebody new is welcomed, until there is a message; frames are shown with their time and price, fingers have room", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "new-ana", channel: "welcome" });
    await ana.getByTestId("welcome").filter({ hasText: "Welcome to #welcome" }).waitFor();
    await say(ana, "first");
    await message(ana, "first").waitFor();
    assert.equal(await ana.getByTestId("welcome").count(), 0);
    await ana.getByTestId("latency").filter({ hasText: /last answer [\d.]+ ms/ }).waitFor();
    const frames = Number((await ana.getByTestId("wire").textContent()).match(/^(\d+) frames/)[1]);
    assert.match(await ana.getByTestId("price").textContent(), new RegExp(`^\\$${(frames / 1e6).toFixed(6)}`));
    await ana.getByTestId("wire").locator("summary").click();
    await ana.getByTestId("wire").locator("li", { hasText: '"action":"publish"' }).waitFor();

    const phone = await windows.page({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
    await phone.goto(`${bellhop.url}/?user=new-ana&channel=welcome`);
    await message(phone, "first").waitFor();
    for (const button of await phone.locator("button:visible, select:visible, summary:visible").all()) {
      const { width, height } = await button.boundingBox();
      assert.ok(width >= 44 && height >= 44, `${await button.textContent()} has ${width} x ${height} pixels`);
    }
    await screenshot(phone, "phone");
  });

  test("commands are copied as they are shown, and do what they say", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "copy", permissions: ["clipboard-read", "clipboard-write"] });
    const commands = await ana.getByTestId("commands").locator("code").allTextContents();
    assert.ok(commands.length >= 4);
    for (const [i, command] of commands.entries()) {
      await ana.getByTestId("copy").nth(i).click();
      await ana.getByTestId("copy").nth(i).filter({ hasText: "Copied" }).waitFor();
      assert.equal(await ana.evaluate(() => navigator.clipboard.readText()), command);
      await bellhop.shell(command);
    }
    await ana.getByTestId("unread").filter({ hasText: "1" }).waitFor();
    await message(ana, "Good evening").waitFor();
    await ana.getByTestId("activity-item").nth(1).waitFor();
  });

  test("the console lists connections and numbers", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    await windows.login({ user: "ana", channel: "watched" });
    const page = await windows.page();
    await page.goto(`${bellhop.url}/_bellhop/`);
    const row = page.locator('[data-testid="connection"][data-user="ana"]').filter({ hasText: "channel:watched" });
    await row.filter({ hasText: "community:town" }).waitFor();
    await page.getByTestId("stats").locator("dd").first().waitFor();
    await screenshot(page, "console");
  });

  if (process.env.SCREENSHOTS) test("pictures for people to look at", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const where = { channel: "gallery", community: "museum" };
    const bob = await windows.login({ user: "bob", ...where });
    const ana = await windows.login({ user: "ana", ...where });
    const phone = { viewport: { width: 390, height: 780 }, colorScheme: "light", hasTouch: true, isMobile: true };
    const dark = await windows.login({ user: "ana", ...where, colorScheme: "dark" });
    const carla = await windows.login({ user: "Carla Gómez", ...where });
    await carla.getByTestId("status").selectOption("away");
    const lines = [
      [bob, "Morning! Is the rehearsal still at ten?"], [ana, "Yes, in the small hall. Bring the score, please, and the other half of the music stands if they fit in your car."],
      [ana, "And coffee ☕"], [carla, "I will be ten minutes late, sorry."], [bob, "No problem."], [ana, "Wrong channel"],
    ];
    for (const [page, text] of lines) {
      await say(page, text);
      await message(page, text).waitFor();
    }
    await message(ana, "Wrong channel").hover();
    await message(ana, "Wrong channel").getByTestId("delete").click();
    await message(ana, "Wrong channel").waitFor({ state: "detached" });
    await bellhop.emit("ana", "notification:new", { title: "New follower", body: "Dario follows you now." });
    await bellhop.emit("ana", "notification:new", { title: "Rehearsal moved to the large hall" });
    await bellhop.emit("ana", "buddy:goal-completed", { title: "Practise 30 days in a row", name: "Carla" });
    await bellhop.emit("ana", "buddy:check-in", { note: "Scales done", name: "Bob" });
    const small = await windows.login({ user: "ana", ...where, ...phone });
    const smallDark = await windows.login({ user: "ana", ...where, ...phone, colorScheme: "dark" });
    await say(ana, "y".repeat(33_000));
    await ana.locator('[data-state="failed"]').waitFor();
    await bob.getByTestId("content").pressSequentially("On my");
    await Promise.all([ana, dark, small, smallDark].map((page) => page.getByTestId("typing").filter({ hasText: "typing" }).waitFor()));
    await screenshot(small, "phone");
    await screenshot(smallDark, "phone-dark");
    await screenshot(dark, "desktop-dark");
    await screenshot(ana, "desktop-failed");
    await ana.getByTestId("discard").click();
    await screenshot(ana, "desktop");
    for (const view of ["people", "activity", "try"]) {
      await small.locator(`[data-show="${view}"]`).click();
      await screenshot(small, `phone-${view}`);
    }
    await dark.getByTestId("bell").click();
    await screenshot(dark, "desktop-dark-bell");
    await ana.locator("aside").evaluate((aside) => (aside.scrollTop = aside.scrollHeight));
    await screenshot(ana, "desktop-try");
    await small.getByTestId("bell").click();
    await screenshot(small, "phone-bell");
  });
});

function inView(page, text) {
  return message(page, text).evaluate((row) => {
    const [at, all] = [row.getBoundingClientRect(), row.closest('[data-testid="scroll"]').getBoundingClientRect()];
    return at.bottom > all.top && at.top < all.bottom;
  });
}

// faint runs in the page. It gives the words whose contrast with their background is below 4.5:1, or 3:1 for large ones.
function faint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ opacityProperty: true }) || element.closest(".sr, :disabled")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(rgba(style.color)), luminance(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) found.push(`${ratio.toFixed(2)}: ${node.data.slice(0, 40)}`);
  }
  return found;
}
