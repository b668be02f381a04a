import { afterAll, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { connect } from "../../src/index.js";
import { useChatSocket, type ChatSocket } from "../../src/react/index.js";
import { Tab, acting } from "./page.js";
import { World, until } from "./world.js";

let world: World;
beforeAll(async () => void (world = await World.start("--parameter", "RateLimit=100", "--parameter", "RateBurst=200")));
afterAll(() => world.end());

const contents = ({ messages }: ChatSocket) => messages.map(({ content }) => content);

/** Opens a channel as a user, and waits until it is loaded. */
async function open(user: string, channel: string, grants?: Record<string, string[]>): Promise<Tab<ChatSocket>> {
  const tab = await Tab.open(world, user, () => useChatSocket(channel), grants);
  await until(() => tab.now.isConnected && !tab.now.isLoading, `channel ${channel} of ${user}`);
  return tab;
}

/** Publishes numbered messages, as a program of ana's. */
async function say(channel: string, count: number, first = 1): Promise<void> {
  const command = (n: number) => ({
    command: "publish", rooms: [`channel:${channel}`], event: "message:new", data: { content: String(n) }, id: `${channel}-${n}`,
    from: { userId: "ana", name: "ANA" },
  });
  for (let n = first; n < first + count; n += 50) {
    await world.emit(Array.from({ length: Math.min(50, first + count - n) }, (_, i) => command(n + i)));
  }
}

const numbers = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => String(first + i));

test("a message is pending at once, then sent, once; the other user sees who it is from", async () => {
  const [ana, bob] = [await open("ana", "two"), await open("bob", "two")];
  let id = "";
  await acting(() => {
    void ana.now.sendMessage("hello").then((sent) => (id = sent));
  });
  expect(ana.hook.all.some(({ messages }) => messages[0]?.status === "pending")).toBe(true);
  await until(() => ana.now.messages[0]?.status === "sent" && id, "sent message");
  const theirs = await until(() => bob.now.messages[0], "message");
  expect(theirs).toEqual({
    id, seq: 1, content: "hello", userId: "ana", userName: "ANA", ts: expect.any(Number), status: "sent", data: { content: "hello" },
  });
  await until(() => ana.now.messages[0]?.userName, "name");
  expect(ana.now.messages).toEqual([theirs]);
  expect(Math.max(...ana.hook.all.map(({ messages }) => messages.length))).toBe(1);
});

test("an object is published as it is", async () => {
  const ana = await open("ana", "objects");
  await ana.now.sendMessage({ content: "look", image: "cat.png" });
  await ana.now.sendMessage({ image: "dog.png" });
  expect(ana.now.messages.map(({ content, data }) => [content, data.image])).toEqual([["look", "cat.png"], ["", "dog.png"]]);
});

test("messages of one user go out in the order of the calls, and who comes later sees them", async () => {
  const ana = await open("ana", "order");
  await Promise.all(numbers(1, 20).map((n) => ana.now.sendMessage(n)));
  expect(contents(ana.now)).toEqual(numbers(1, 20));
  expect(ana.now.messages.map(({ seq }) => seq)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  const bob = await open("bob", "order");
  expect(contents(bob.now)).toEqual(numbers(1, 20));
});

test("what the server refuses is failed, and may be dropped", async () => {
  const ana = await open("ana", "forbidden", { "channel:*": ["join"] });
  await expect(ana.now.sendMessage("no")).rejects.toMatchObject({ code: "forbidden" });
  await until(() => ana.now.messages[0]?.status === "failed", "failure");
  expect(ana.now.messages[0]).toMatchObject({ content: "no", error: { code: "forbidden" } });
  expect(ana.now.messages[0]).not.toHaveProperty("seq");
  expect(ana.now.messages[0]).not.toHaveProperty("isFinal"); // another token may allow it
  await expect(ana.now.retry(ana.now.messages[0]!.id)).rejects.toMatchObject({ code: "forbidden" });
  await acting(() => ana.now.deleteMessage(ana.now.messages[0]!.id));
  expect(ana.now.messages).toEqual([]);
});

test("what the network swallows is failed, stays at the end, and is sent by a retry", async () => {
  const [ana, bob] = [await open("ana", "lossy"), await open("bob", "lossy")];
  ana.losses.actions = true;
  await expect(ana.now.sendMessage("first")).rejects.toMatchObject({ code: "timeout" });
  await bob.now.sendMessage("second");
  await until(() => ana.now.messages.length === 2, "message");
  expect(ana.now.messages.map(({ content, status }) => [content, status])).toEqual([["second", "sent"], ["first", "failed"]]);
  ana.losses.actions = false;
  const { id } = ana.now.messages[1]!;
  await acting(() => expect(ana.now.retry(id)).resolves.toBe(id));
  await until(() => ana.now.messages.every(({ status }) => status === "sent"), "sent message");
  expect(ana.now.messages[1]).not.toHaveProperty("error");
  await until(() => contents(bob.now).join() === "second,first", "message");
  await expect(ana.now.retry(id)).resolves.toBe(id); // nothing to do
  await expect(ana.now.retry("nothing")).rejects.toMatchObject({ code: "bad_request" });
});

test("when just the answer is lost, the message that was seen in the room is sent", async () => {
  const [ana, bob] = [await open("ana", "replies"), await open("bob", "replies")];
  ana.losses.replies = true;
  const id = await ana.now.sendMessage("heard");
  expect(ana.now.messages).toMatchObject([{ id, status: "sent", seq: 1 }]);
  expect(contents(bob.now)).toEqual(["heard"]);
});

test("a message that is sent while the connection is lost arrives once", async () => {
  const [ana, bob] = [await open("ana", "offline"), await open("bob", "offline")];
  const cut = ana.cut();
  const sent = ana.now.sendMessage("through");
  await cut;
  await sent;
  await until(() => contents(bob.now).length === 1 && ana.now.messages[0]?.status === "sent", "message");
  expect(contents(ana.now)).toEqual(["through"]);
  expect(ana.now.recovered).toBe(true);
});

test("a message that is on its way when its component goes is sent nevertheless; a failed one is kept", async () => {
  const bob = await open("bob", "leaving");
  let channel: string | null = "leaving";
  const ana = await Tab.open(world, "ana", () => useChatSocket(channel));
  await until(() => ana.now.isConnected && !ana.now.isLoading, "join");
  const move = async (to: string | null) => {
    channel = to;
    await ana.render();
  };
  ana.losses.actions = true;
  const sent = ana.now.sendMessage("bye");
  await move(null);
  expect(ana.now.messages).toEqual([]);
  ana.losses.actions = false; // the client tries again
  await sent;
  await until(() => contents(bob.now).join() === "bye", "message");

  await move("leaving");
  await until(() => contents(ana.now).join() === "bye", "message");
  ana.losses.actions = true;
  const failed = ana.now.sendMessage("farewell");
  await move(null);
  await expect(failed).rejects.toMatchObject({ code: "timeout" });
  await move("leaving");
  await until(() => contents(ana.now).join() === "bye,farewell", "message");
  expect(ana.now.messages[1]?.status).toBe("failed");
});

test("a deleted message is gone for everybody, also for those who come later", async () => {
  const [ana, bob] = [await open("ana", "deleted"), await open("bob", "deleted")];
  const id = await ana.now.sendMessage("oops");
  await ana.now.sendMessage("better");
  await until(() => contents(bob.now).length === 2, "messages");
  await expect(bob.now.deleteMessage(id)).rejects.toMatchObject({ code: "forbidden" });
  await until(() => bob.now.error?.code === "forbidden", "error");
  expect(contents(bob.now)).toEqual(["oops", "better"]);
  expect(bob.now.messages[0]).not.toHaveProperty("deleted");
  let done: Promise<void> | undefined;
  await acting(() => void (done = ana.now.deleteMessage(id)));
  expect(ana.hook.all.some(({ messages }) => messages[0]?.deleted)).toBe(true);
  await done;
  await until(() => contents(ana.now).join() === "better" && contents(bob.now).join() === "better", "deletion");
  const cleo = await open("cleo", "deleted");
  expect(contents(cleo.now)).toEqual(["better"]);
});

test("a message that is deleted while it is pending is sent first, or never if it fails", async () => {
  const [ana, bob] = [await open("ana", "hasty"), await open("bob", "hasty")];
  void ana.now.sendMessage("sent");
  const message = await until(() => ana.now.messages[0], "message");
  await ana.now.deleteMessage(message.id);
  await until(() => ana.now.messages.length === 0 && bob.now.messages.length === 0, "deletion");
  ana.losses.actions = true;
  void ana.now.sendMessage("never");
  const lost = await until(() => ana.now.messages[0], "message");
  await ana.now.deleteMessage(lost.id);
  await until(() => ana.now.messages.length === 0, "end of it");
});

test("what a program sends says in its data whom it is from, if it says so nowhere else", async () => {
  const ana = await open("ana", "programs");
  const publish = (data: unknown, id: string) => world.emit({ command: "publish", rooms: ["channel:programs"], event: "message:new", data, id });
  await publish({ content: "hi", userId: "bob", userName: "Bob" }, "p1");
  await publish("just text", "p2");
  await until(() => ana.now.messages.length === 2, "messages");
  expect(ana.now.messages).toMatchObject([{ content: "hi", userId: "bob", userName: "Bob" }, { content: "just text", userId: "" }]);
});

test("120 messages come in pages, newest first, and meanwhile new ones", async () => {
  await say("pages", 120);
  const bob = await open("bob", "pages");
  expect(contents(bob.now)).toEqual(numbers(71, 120));
  expect(bob.now.hasMore).toBe(true);
  expect(bob.hook.all.length).toBeLessThan(15); // a page is shown at once
  const { messages } = bob.now;
  await Promise.all([bob.now.loadMore(), bob.now.loadMore(), say("pages", 1, 121)]);
  await until(() => bob.now.messages.length === 101, "page");
  expect(contents(bob.now)).toEqual(numbers(21, 121));
  expect(bob.now.messages).toContain(messages[0]); // as it was: nothing to render again
  await bob.now.loadMore();
  await until(() => !bob.now.hasMore, "end");
  expect(contents(bob.now)).toEqual(numbers(1, 121));
  await bob.now.loadMore();
  expect(bob.now.messages).toHaveLength(121);
});

test("of a long conversation the newest thousand are kept, and the rest is loaded again", { timeout: 20_000 }, async () => {
  const bob = await open("bob", "long");
  await say("long", 1_050);
  await until(() => bob.now.messages.at(-1)?.content === "1050", "messages", 10_000);
  expect(contents(bob.now)).toEqual(numbers(51, 1_050));
  expect(bob.now.hasMore).toBe(true);
  await bob.now.loadMore();
  await until(() => bob.now.messages.length === 1_050, "page");
  expect(contents(bob.now)).toEqual(numbers(1, 1_050));
});

test("who takes the id of another's message takes neither its place nor can delete it", async () => {
  const bob = await open("bob", "squatted");
  const post = (userId: string, content: string) => world.emit({
    command: "publish", rooms: ["channel:squatted"], event: "message:new", data: { content }, id: "m1", from: { userId, name: userId },
  });
  await post("ana", "mine");
  await until(() => contents(bob.now).join() === "mine", "message");
  const eve = connect(world.ws, { WebSocket, token: () => world.token("eve") });
  try {
    const room = eve.join("channel:squatted");
    await room.publish("message:new", { content: "not hers" }, { id: "m1" });
    await until(() => contents(bob.now).join() === "mine,not hers", "message");
    expect(bob.now.messages.map(({ userId }) => userId)).toEqual(["ana", "eve"]);
    expect(new Set(bob.now.messages.map(({ id }) => id)).size).toBe(2);
    await room.publish("message:deleted", { messageId: "m1" });
    await until(() => contents(bob.now).join() === "mine", "deletion");
  } finally {
    await eve.close();
  }
});

test("a channel whose last 150 messages were deleted shows those before them", async () => {
  await say("tidied", 160);
  for (let n = 11; n <= 160; n += 50) {
    await world.emit(Array.from({ length: 50 }, (_, i) => (
      { command: "publish", rooms: ["channel:tidied"], event: "message:deleted", data: { messageId: `tidied-${n + i}` } }
    )));
  }
  const bob = await open("bob", "tidied");
  expect(contents(bob.now)).toEqual(numbers(1, 10));
  expect(bob.now.hasMore).toBe(false);
});

test("a message that cannot be sent as it is says so, and is not tried again", async () => {
  const ana = await open("ana", "large");
  await expect(ana.now.sendMessage("x".repeat(33_000))).rejects.toMatchObject({ code: "too_large" });
  await until(() => ana.now.messages[0]?.status === "failed", "failure");
  expect(ana.now.messages[0]).toMatchObject({ isFinal: true, error: { code: "too_large" } });
  await expect(ana.now.retry(ana.now.messages[0]!.id)).rejects.toMatchObject({ code: "too_large" });
  expect(ana.now.messages[0]?.status).toBe("failed");
  await acting(() => ana.now.deleteMessage(ana.now.messages[0]!.id));
  expect(ana.now.messages).toEqual([]);
});

test("pages without messages are passed over", async () => {
  await say("sparse", 3);
  for (let n = 0; n < 120; n++) {
    await world.emit({ command: "publish", rooms: ["channel:sparse"], event: "reaction:added", data: { n }, id: `r${n}` });
  }
  const bob = await open("bob", "sparse");
  expect(contents(bob.now)).toEqual(["1", "2", "3"]);
  expect(bob.now.hasMore).toBe(false);
});

test("when the log is a new one, the newest page is loaded again, and pending messages stay", async () => {
  const forgetful = await World.start();
  try {
    const ana = await Tab.open(forgetful, "ana", () => useChatSocket("again"));
    await until(() => ana.now.isConnected && !ana.now.isLoading, "join");
    await ana.now.sendMessage("old");
    expect(ana.now.recovered).toBe(true);
    ana.losses.actions = true;
    await expect(ana.now.sendMessage("mine")).rejects.toMatchObject({ code: "timeout" });
    await forgetful.forget();
    await forgetful.emit({ command: "publish", rooms: ["channel:again"], event: "message:new", data: { content: "new" }, id: "n1" });
    await until(() => contents(ana.now).join() === "new,mine", "reload", 8_000);
    expect(ana.now.messages.map(({ status }) => status)).toEqual(["sent", "failed"]);
    expect(ana.now.recovered).toBe(false);
    await ana.close();
  } finally {
    await forgetful.end();
  }
});

test("a channel that is closed says so, and can be entered again", async () => {
  let channel: string | null = "closing";
  const ana = await Tab.open(world, "ana", () => useChatSocket(channel));
  await until(() => ana.now.isConnected && !ana.now.isLoading, "join");
  await ana.now.sendMessage("old");
  await world.emit({ command: "close", room: "channel:closing", reason: "spam" });
  await until(() => ana.now.error?.code === "not_in_room", "error");
  expect(ana.now.isConnected).toBe(false);
  expect(contents(ana.now)).toEqual(["old"]);
  channel = null;
  await ana.render();
  channel = "closing";
  await ana.render();
  await until(() => ana.now.isConnected && !ana.now.isLoading, "join");
  expect(ana.now).toMatchObject({ messages: [], error: null });
});

test("after a short absence what was missed is there, without a reload", async () => {
  const [ana, bob] = [await open("ana", "short"), await open("bob", "short")];
  await ana.now.sendMessage("before");
  await until(() => bob.now.messages.length === 1, "message");
  const [first] = bob.now.messages;
  await bob.cut();
  await ana.now.sendMessage("meanwhile");
  await until(() => contents(bob.now).join() === "before,meanwhile", "message");
  expect(bob.now.recovered).toBe(true);
  expect(bob.now.messages[0]).toBe(first);
});

test("others see who types, until that user sends or stops, and never themselves", async () => {
  const [ana, bob] = [await open("ana", "typing"), await open("bob", "typing")];
  const typing = () => bob.now.typingUsers.map(({ userName }) => userName).join();
  for (let key = 0; key < 5; key++) ana.now.sendTyping("somebody", "Somebody else"); // what a server never believes
  await until(() => typing() === "ANA", "typing");
  const { messages } = bob.now;
  ana.now.stopTyping();
  await until(() => typing() === "", "end of typing");
  expect(bob.now.messages).toBe(messages); // the same: only who types has changed
  await ana.now.sendMessage("one");
  ana.now.sendTyping();
  await until(() => typing() === "ANA", "typing");
  await ana.now.sendMessage("two");
  await until(() => typing() === "" && bob.now.messages.length === 2, "message");
  expect(ana.hook.all.every(({ typingUsers }) => typingUsers.length === 0)).toBe(true);
});

test("typing ends by itself after three seconds without a key", async () => {
  const [ana, bob] = [await open("ana", "silent"), await open("bob", "silent")];
  const start = Date.now();
  ana.now.sendTyping();
  await until(() => bob.now.typingUsers.length === 1, "typing");
  await until(() => bob.now.typingUsers.length === 0, "end of typing", 6_000);
  expect(Date.now() - start).toBeGreaterThan(2_900);
  expect(Date.now() - start).toBeLessThan(3_900); // the signal, not the expiry after four
});

test("a channel that may not be joined says so", async () => {
  const ana = await Tab.open(world, "ana", () => useChatSocket("secret"), { "channel:other": ["join"] });
  await until(() => ana.now.error, "error");
  expect(ana.now).toMatchObject({ isConnected: false, isLoading: false, error: { code: "forbidden" }, messages: [] });
});

test("two components with one channel share its state, and join it once", async () => {
  const tab = await Tab.open(world, "dora", () => [useChatSocket("shared"), useChatSocket("shared")] as const);
  await until(() => tab.now[0].isConnected, "join");
  await acting(() => tab.now[0].sendMessage("to both"));
  expect(tab.now[0].messages).toBe(tab.now[1].messages);
  expect(tab.now[0].messages).toHaveLength(1);
});

test("another channel shows nothing of the one before", async () => {
  await say("left", 2);
  await say("right", 1);
  let channel = "left";
  const tab = await Tab.open(world, "eve", () => useChatSocket(channel));
  await until(() => contents(tab.now).join() === "1,2", "messages");
  const before = tab.hook.all.length;
  channel = "right";
  await tab.render();
  await until(() => contents(tab.now).join() === "1" && !tab.now.isLoading, "message");
  expect(tab.hook.all.slice(before).every(({ messages }) => messages.length < 2)).toBe(true);
  const [connection] = await world.connections("eve");
  await until(async () => (await world.connections("eve"))[0]?.rooms.toSorted().join() === "channel:right,user:eve", "leave");
  expect((await world.connections("eve"))[0]?.id).toBe(connection?.id);
});
