import { afterAll, beforeAll, expect, test } from "vitest";
import { useBuddySocket, useNotificationsSocket, type NotificationsSocket } from "../../src/react/index.js";
import { Tab, acting } from "./page.js";
import { World, until } from "./world.js";

let world: World;
beforeAll(async () => void (world = await World.start()));
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
      id: "n2", type: "like", title: "n2", body: "Bob likes it", isRead: false, ts: expect.any(Number),
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

test("all of forty are marked as read, however few actions a second are allowed", { timeout: 20_000 }, async () => {
  for (let n = 0; n < 40; n++) await notify("dora", `n${n}`);
  const dora = await open("dora");
  expect(dora.now.unread).toBe(40);
  await dora.now.markAllRead();
  expect(dora.now.unread).toBe(0);
  await dora.close();
  const again = await open("dora");
  expect(again.now.notifications).toHaveLength(40);
  expect(again.now.unread).toBe(0);
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
