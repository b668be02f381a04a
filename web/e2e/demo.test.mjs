import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Bellhop, Windows, connected, launch, message, person, say, screenshot } from "./harness.mjs";

describe("the demo page", { timeout: 240_000 }, () => {
  const bellhop = new Bellhop();
  let browser;
  before(async () => {
    await bellhop.build();
    await bellhop.start();
    browser = await launch();
  }, { timeout: 180_000 });
  after(async () => {
    await browser?.close();
    await bellhop.remove();
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
    await message(bob, "Message deleted", "deleted").waitFor();
    await message(ana, "Message deleted", "deleted").waitFor();
    await bob.reload();
    await message(bob, "Message deleted", "deleted").waitFor();
    assert.ok(!(await bob.content()).includes("a secret"));
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

  test("history is there after a reload, and older pages on request", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "ana", channel: "long" });
    for (let n = 1; n <= 40; n++) {
      const command = { command: "publish", rooms: ["channel:long"], event: "message:new", data: { content: `message ${n}` } };
      await fetch(`${bellhop.url}/2015-03-31/functions/emit/invocations`, { method: "POST", body: JSON.stringify(command) });
    }
    await message(ana, "message 40").waitFor();
    await ana.reload();
    await message(ana, "message 40").waitFor();
    assert.equal(await ana.getByTestId("message").count(), 30);
    await ana.getByTestId("older").click();
    await message(ana, "message 1").waitFor();
    await ana.getByTestId("older").waitFor({ state: "hidden" });
    const all = Array.from({ length: 40 }, (_, n) => `message ${n + 1}`);
    assert.deepEqual(await ana.getByTestId("message-content").allTextContents(), all);
  });

  test("what cannot be sent says why, and can be sent again or discarded", async (t) => {
    const windows = new Windows(t, browser, bellhop);
    const ana = await windows.login({ user: "ana", channel: "large" });
    await say(ana, "x".repeat(33_000));
    const failed = ana.locator('[data-testid="message"][data-state="failed"]');
    await failed.filter({ hasText: "(too_large)" }).waitFor();
    await failed.getByTestId("retry").click();
    await failed.getByTestId("discard").click();
    assert.equal(await ana.getByTestId("message").count(), 0);
    await say(ana, "short");
    await message(ana, "short").waitFor();
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
    await bob.getByTestId("note").filter({ hasText: "1 event recovered" }).waitFor();
    await message(bob, "are you there?").waitFor();
    await message(ana, "written offline").waitFor();
    await message(bob, "written offline").waitFor();
    assert.equal(await person(ana, "bill").count(), 1, "nobody saw it go");
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
    const token = await bellhop.token("tess", "3s");
    const prepare = (page) => page.route("**/_bellhop/token", (route) => route.fulfill({ json: { token } }), { times: 1 });
    const tess = await windows.login({ user: "tess", channel: "expiry", prepare });
    await tess.waitForFunction((at) => Date.now() > at + 1_000, expires);
    await say(tess, "not too late");
    await message(tess, "not too late").waitFor();
    await tess.getByTestId("note").filter({ hasText: "Reconnected" }).waitFor();
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
    const page = await windows.login({ user: "paul" });
    const command = { command: "disconnect", user: "paul", reason: "spam" };
    await fetch(`${bellhop.url}/2015-03-31/functions/emit/invocations`, { method: "POST", body: JSON.stringify(command) });
    await page.locator('[data-testid="connection"][data-state="closed"]').waitFor();
    await page.getByTestId("toast").filter({ hasText: "ended this session: spam" }).waitFor();
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
    await message(ana, "Message deleted", "deleted").waitFor();
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
    for (const view of ["people", "activity"]) {
      await small.locator(`[data-show="${view}"]`).click();
      await screenshot(small, `phone-${view}`);
    }
    await dark.getByTestId("bell").click();
    await screenshot(dark, "desktop-dark-bell");
    await small.getByTestId("bell").click();
    await screenshot(small, "phone-bell");
  });
});
