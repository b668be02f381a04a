import { afterAll, beforeAll, expect, test } from "vitest";
import { usePresenceSocket } from "../../src/react/index.js";
import { Tab } from "./page.js";
import { World, until } from "./world.js";

let world: World;
beforeAll(async () => void (world = await World.start("--parameter", "PresenceGrace=1s")));
afterAll(() => world.end());

async function open(user: string, community: string) {
  const tab = await Tab.open(world, user, () => usePresenceSocket(community));
  await until(() => tab.now.isConnected, `community ${community} of ${user}`);
  return tab;
}

test("who comes is seen, with a status, and who goes is gone at once", async () => {
  const ana = await open("ana", "town");
  await until(() => ana.now.onlineUsers.join() === "ana", "own presence");
  const bob = await open("bob", "town");
  await until(() => ana.now.onlineUsers.toSorted().join() === "ana,bob", "arrival");
  expect(bob.now.onlineUsers.toSorted()).toEqual(["ana", "bob"]);
  expect(ana.now.users.get("bob")).toMatchObject({ userId: "bob", name: "BOB", status: "online" });
  const { onlineUsers } = ana.now;

  await bob.now.setStatus("away", { until: "noon" });
  await until(() => ana.now.users.get("bob")?.status === "away", "status");
  expect(ana.now.users.get("bob")?.data).toEqual({ until: "noon" });
  expect(ana.now.onlineUsers).toEqual(onlineUsers);

  const left = Date.now();
  await bob.close();
  await until(() => ana.now.onlineUsers.join() === "ana", "departure");
  expect(Date.now() - left).toBeLessThan(900);
});

test("a reload within the grace shows nothing to others", async () => {
  const ana = await open("ana", "reload");
  const [bob, cleo] = [await open("bob", "reload"), await open("cleo", "reload")];
  await until(() => ana.now.onlineUsers.length === 3, "arrivals");
  const before = ana.hook.all.length;
  await bob.close();
  await open("bob", "reload");
  await cleo.close();
  await until(() => !ana.now.onlineUsers.includes("cleo"), "end of a grace that began later");
  expect(ana.hook.all.slice(before).every(({ onlineUsers }) => onlineUsers.includes("bob"))).toBe(true);
});

test("a status that the server refuses is an error, until one is accepted", async () => {
  const ana = await open("ana", "errors");
  await expect(ana.now.setStatus("x".repeat(33))).rejects.toMatchObject({ code: "bad_request" });
  await until(() => ana.now.error?.code === "bad_request", "error");
  await ana.now.setStatus("busy");
  await until(() => ana.now.error === null && ana.now.users.get("ana")?.status === "busy", "status");
});

test("a status stays over a reconnect", async () => {
  const [ana, bob, cleo] = [await open("ana", "back"), await open("bob", "back"), await open("cleo", "back")];
  await ana.now.setStatus("busy");
  await until(() => bob.now.users.get("ana")?.status === "busy", "status");
  await ana.cut();
  await until(async () => (await world.connections("ana")).length === 1 && ana.now.isConnected, "reconnect");
  await cleo.close();
  await until(() => !bob.now.users.has("cleo"), "end of a grace that began later");
  expect(bob.now.users.get("ana")?.status).toBe("busy");
});
