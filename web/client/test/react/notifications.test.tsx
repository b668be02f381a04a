import { afterAll, beforeAll, expect, test } from "vitest";
import { useBuddySocket, useNotificationsSocket, type NotificationsSocket } from "../../src/react/index.js";
import { Tab, acting } from "./page.js";
import { World, until } from "./world.js";

let world: World;
beforeAll(async () => void (world = await World.start("--parameter", "RateLimit=200", "--parameter", "RateBurst=400")));
afterAll(() => world.end());

async function open(user: string): Promise<Tab<NotificationsSocket>> {
  const tab = await Tab.open(world, user, () => useNotificationsSocket(user));
  await until(() => tab.now.isConnected && !tab.now.isLoading, `room of ${user}`);
  return tab;
}

const notify = (user: string, id: string, data: object = { type: "info", title: id, body: "…" }) =>
  world.emit({ command: "publish", users: [user], event: "notification:new", data, id });

const titles = ({ notifications }: NotificationsSocket) => notifications.map(({ title, isRead }) => `${title}${isRead ? " read" : ""}`);

test("notifications come newest first, also those of before", async () => {
  await notify("ana", "n1");
  const ana = await open("ana");
  await notify("ana", "n2", { type: "like", title: "n2", body: "Bob likes it", url: "/posts/1" });
  await notify("bob", "hers-not");
  await until(() => ana.now.notifications.length === 2, "notification");
  expect(ana.now.notifications).toEqual([
    {
      id: "n2", type: "like", title: "n2", body: "Bob likes it", isRead: false, ts: expect.any(Number), url: "/posts/1",
      data: { type: "like", title: "n2", body: "Bob likes it", url: "/posts/1" },
    },
    { id: "n1", type: "info", title: "n1", body: "…", isRead: false, ts: expect.any(Number), data: { type: "info", title: "n1", body: "…" } },
  ]);
  expect(ana.now.unread).toBe(2);
});

test("what is read on one device is read on all, and after a reload", async () => {
  for (const id of ["n1", "n2", "n3"]) await notify("cleo", id);
  const [phone, laptop] = [await open("cleo"), await open("cleo")];
  let done: Promise<void> | undefined;
  await acting(() => void (done = phone.now.markRead("n2")));
  expect(titles(phone.now)).toEqual(["n3", "n2 read", "n1"]); // before the server has answered
  await done;
  await until(() => titles(laptop.now).join() === "n3,n2 read,n1", "reading");
  expect(laptop.now.unread).toBe(2);
  await phone.close();
  const again = await open("cleo");
  expect(titles(again.now)).toEqual(["n3", "n2 read", "n1"]);
  await again.now.markRead("n2"); // again
  await laptop.now.markAllRead();
  await until(() => again.now.unread === 0 && laptop.now.unread === 0, "reading");
});

/** Sends numbered events of a kind to a user, as a program does. */
async function tell(user: string, event: string, count: number, first = 1): Promise<void> {
  const command = (n: number) => ({ command: "publish", users: [user], event, data: { title: `${n}` }, id: `${event}-${n}` });
  for (let n = first; n < first + count; n += 50) {
    await world.emit(Array.from({ length: Math.min(50, first + count - n) }, (_, i) => command(n + i)));
  }
}

test("all are marked as read by one frame, also those that were not loaded, and stay so when the page is left at once", async () => {
  await tell("dora", "notification:new", 300);
  const [dora, phone] = [await open("dora"), await open("dora")];
  await until(() => dora.now.unread === 300 && phone.now.unread === 300, "count");
  expect(dora.now.notifications.filter(({ isRead }) => !isRead)).toHaveLength(200);
  const { messagesIn } = (await world.ask("GET", "/_bellhop/stats")) as { messagesIn: number };
  let done: Promise<void> | undefined;
  await acting(() => void (done = dora.now.markAllRead()));
  expect(dora.now.unread).toBe(0);
  await done;
  expect(((await world.ask("GET", "/_bellhop/stats")) as { messagesIn: number }).messagesIn).toBe(messagesIn + 1);
  await until(() => phone.now.unread === 0, "reading");
  await dora.close();
  await tell("dora", "notification:new", 2, 301);
  const again = await open("dora");
  await until(() => again.now.unread === 2 && phone.now.unread === 2, "count");
  expect(again.now.notifications.map(({ isRead }) => isRead).slice(0, 4)).toEqual([false, false, true, true]);
  await again.now.markAllRead();
  await again.now.markAllRead(); // nothing to do
  await until(() => phone.now.unread === 0, "reading");
});

test("the count is true whatever was loaded, the same in an old tab and in a new one, and older ones can be loaded", async () => {
  const old = await open("ivo");
  await tell("ivo", "notification:new", 260);
  await tell("ivo", "buddy:check-in", 1_010);
  for (const n of [3, 70, 259]) await old.now.markRead(`notification:new-${n}`);
  await until(() => old.now.unread === 257, "count");
  const fresh = await open("ivo");
  await until(() => fresh.now.unread === 257, "count");
  expect(fresh.now.hasMore).toBe(true);
  while (fresh.now.hasMore) await acting(() => fresh.now.loadMore());
  expect(fresh.now.notifications.map(({ title }) => Number(title))).toEqual(Array.from({ length: 260 }, (_, n) => 260 - n));
  expect(fresh.now.notifications.filter(({ isRead }) => isRead).map(({ title }) => title)).toEqual(["259", "70", "3"]);
  expect(fresh.now.unread).toBe(257);
});

test("a count that was cut off goes on after the reconnect", async () => {
  await tell("jan", "notification:new", 500);
  const jan = await open("jan");
  await jan.cut();
  await until(() => jan.now.unread === 500, "count");
});

test("a reading that could not be logged is undone, with an error", async () => {
  await notify("eve", "n1");
  const eve = await open("eve");
  eve.losses.actions = true;
  let done: Promise<void> | undefined;
  await acting(() => void (done = eve.now.markRead("n1")));
  expect(eve.hook.all.some(({ unread, notifications }) => unread === 0 && notifications.length === 1)).toBe(true);
  await expect(done).rejects.toMatchObject({ code: "timeout" });
  await until(() => eve.now.unread === 1 && eve.now.error?.code === "timeout", "undoing");
  eve.losses.actions = false;
  await eve.now.markRead("n1");
  await until(() => eve.now.unread === 0 && eve.now.error === null, "reading");
});

test("those that came while the connection was lost are there afterwards", async () => {
  const fay = await open("fay");
  await world.cut("fay");
  await notify("fay", "n1");
  await until(() => fay.now.unread === 1, "notification");
});

test("the own room of somebody else may not be joined", async () => {
  const gus = await Tab.open(world, "gus", () => useNotificationsSocket("ana"));
  await until(() => gus.now.error?.code === "forbidden", "error");
  expect(gus.now).toMatchObject({ notifications: [], isConnected: false, isLoading: false });
});

test("what buddies did comes newest first, from before and now, to the user who is connected", async () => {
  const tell = (event: string, id: string, data: object, from?: object) => world.emit({ command: "publish", users: ["hal"], event, data, id, from });
  await tell("buddy:goal-completed", "g1", { goalId: "7", title: "Run 5 km" }, { userId: "ana", name: "Ana" });
  const hal = await Tab.open(world, "hal", () => ({ buddies: useBuddySocket(), notifications: useNotificationsSocket() }));
  await until(() => hal.now.buddies.goals.length === 1, "goal");
  await tell("buddy:check-in", "c1", { goalId: "7", note: "Day 3", userId: "bob" });
  await tell("buddy:goal-completed", "g2", { title: "Read" });
  await notify("hal", "n1");
  await until(() => hal.now.buddies.goals.length === 2 && hal.now.notifications.unread === 1, "goal");
  expect(hal.now.buddies.goals).toEqual([
    { id: "g2", ts: expect.any(Number), title: "Read", data: { title: "Read" } },
    {
      id: "g1", ts: expect.any(Number), goalId: "7", title: "Run 5 km", userId: "ana", userName: "Ana",
      data: { goalId: "7", title: "Run 5 km" },
    },
  ]);
  expect(hal.now.buddies.checkIns).toMatchObject([{ id: "c1", goalId: "7", note: "Day 3", userId: "bob" }]);
  expect((await world.connections("hal"))[0]?.rooms).toEqual(["user:hal"]);
});
