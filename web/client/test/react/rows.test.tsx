import { renderToString } from "react-dom/server";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BellhopProvider, useChatSocket, useNotificationsSocket, type ChatMessage } from "../../src/react/index.js";
import { Tab, acting } from "./page.js";
import { World, until } from "./world.js";

let world: World;
beforeAll(async () => void (world = await World.start("--parameter", "RateLimit=100", "--parameter", "RateBurst=200")));
afterAll(() => world.end());

/** A row as a database gives it: with a number for an id, and columns of its own. */
interface MessageRow {
  id: number;
  content: string;
  userId: number;
  userName: string;
  avatar: string;
  createdAt: Date;
}

const row = (id: number, content = `row ${id}`): MessageRow => ({ id, content, userId: 7, userName: "Ana", avatar: "cat.png", createdAt: new Date(1_700_000_000_000 + id) });

function tell(channel: string, event: string, data: object, more: object = {}): Promise<unknown> {
  return world.emit({ command: "publish", rooms: [`channel:${channel}`], event, data, ...more });
}

/** What an application had before: a component for the fields of its row. */
function Message({ content, userName, avatar, createdAt }: Pick<MessageRow, "content" | "avatar" | "createdAt"> & { userName?: string }) {
  return <p>{[userName, content, avatar, new Date(createdAt).getTime()].join("|")}</p>;
}

test("a message has the fields of its row, so that it can be spread into a component; those of the hook win", async () => {
  const ana = await Tab.open(world, "ana", () => useChatSocket<MessageRow>(1));
  await until(() => ana.now.isConnected && !ana.now.isLoading, "channel");
  await tell("1", "message:new", { ...row(1), status: "draft", seq: "x", deleted: false, ref: "evil", dangerouslySetInnerHTML: { __html: "x" } }, { id: "1" });
  const message: ChatMessage<MessageRow> = await until(() => ana.now.messages[0], "message");
  expect(message).toEqual({
    id: "1", seq: 1, content: "row 1", userId: "7", userName: "Ana", avatar: "cat.png", createdAt: "2023-11-14T22:13:20.001Z",
    ts: expect.any(Number), status: "sent", data: expect.objectContaining({ status: "draft", ref: "evil" }),
  });
  expect(renderToString(<Message {...message} />)).toBe("<p>Ana|row 1|cat.png|1700000000001</p>");
});

test("rows of the application's own history are there at once, also on a server, and once with those of the log, in order", async () => {
  for (const id of [3, 4]) await tell("2", "message:new", row(id), { id: String(id) });
  const initialMessages = [1, 2, 3, 4].map((id) => row(id));
  const Page = () => <>{useChatSocket(2, { initialMessages }).messages.map(({ id, content }) => <i key={id}>{content}</i>)}</>;
  expect(renderToString(<BellhopProvider url={world.ws} token={() => ""}><Page /></BellhopProvider>)).toBe([1, 2, 3, 4].map((id) => `<i>row ${id}</i>`).join(""));

  const ana = await Tab.open(world, "ana", () => useChatSocket(2, { initialMessages }));
  expect(ana.hook.all[0]!.messages.map(({ id }) => id)).toEqual(["1", "2", "3", "4"]);
  await until(() => !ana.now.isLoading && ana.now.messages[3]?.seq === 2, "log");
  await tell("2", "message:new", row(5), { id: "5" });
  await until(() => ana.now.messages.length === 5, "message");
  expect(ana.now.messages.map(({ id, seq, createdAt }) => [id, seq, new Date(createdAt!).getTime() - 1_700_000_000_000])).toEqual([
    ["1", undefined, 1], ["2", undefined, 2], ["3", 1, 3], ["4", 2, 4], ["5", 3, 5],
  ]);
  expect(new Set(ana.hook.all.map(({ messages }) => JSON.stringify(messages.map(({ id }) => id)))))
    .toEqual(new Set(['["1","2","3","4"]', '["1","2","3","4","5"]']));
});

test("a row that was deleted is gone, one that another author's deletion names stays", async () => {
  const initialMessages = [1, 2].map((id) => row(id));
  const ana = await Tab.open(world, "ana", () => useChatSocket(3, { initialMessages }));
  const eve = await Tab.open(world, "eve", () => useChatSocket(3), { "channel:*": ["join", "publish"] });
  await until(() => ana.now.isConnected && !ana.now.isLoading && eve.now.isConnected, "channel");
  await tell("3", "message:deleted", { messageId: "1" });
  await until(() => ana.now.messages.length === 1, "deletion");
  const room = world.command({ command: "publish", rooms: ["channel:3"], event: "message:new", data: { content: "mine" }, id: "2", from: { userId: "eve" } });
  await room;
  await until(() => ana.now.messages.length === 2, "namesake");
  await acting(() => eve.now.deleteMessage(2));
  await until(() => ana.now.messages.length === 1, "deletion of the namesake");
  expect(ana.now.messages.map(({ content }) => content)).toEqual(["row 2"]);
});

test("an edit changes a message and a row, for who comes later too; that of another member changes nothing", async () => {
  const initialMessages = [row(1)];
  const ana = await Tab.open(world, "ana", () => useChatSocket<MessageRow>(4, { initialMessages }));
  await until(() => ana.now.isConnected && !ana.now.isLoading, "channel");
  await tell("4", "message:new", row(2), { id: "2" });
  await tell("4", "message:edited", { ...row(1, "one, better") });
  await tell("4", "message:edited", { id: 2, content: "two, better", avatar: "dog.png" });
  await tell("4", "message:edited", { id: 2, content: "forged" }, { from: { userId: "eve" } });
  await tell("4", "message:edited", { id: 2, content: "two, best" }, { from: { userId: "7" } });
  await tell("4", "message:new", row(3), { id: "3" });
  await until(() => ana.now.messages.length === 3, "messages");
  const want = [["one, better", "cat.png"], ["two, best", "dog.png"], ["row 3", "cat.png"]];
  expect(ana.now.messages.map(({ content, avatar }) => [content, avatar])).toEqual(want);
  const late = await Tab.open(world, "bob", () => useChatSocket<MessageRow>("4", { initialMessages }));
  await until(() => late.now.messages.length === 3 && !late.now.isLoading, "messages");
  expect(late.now.messages.map(({ content, avatar }) => [content, avatar])).toEqual(want);
});

test("a notification has the fields of its row, and may be marked by its number", async () => {
  const ana = await Tab.open(world, "nina", () => useNotificationsSocket<{ href: string }>("nina"));
  await until(() => ana.now.isConnected, "room");
  await world.emit({ command: "publish", users: ["nina"], event: "notification:new", data: { id: 12, title: "Hi", href: "/x", isRead: null }, id: "12" });
  await until(() => ana.now.notifications[0], "notification");
  expect(ana.now.notifications[0]).toMatchObject({ id: "12", title: "Hi", href: "/x", isRead: false });
  await acting(() => ana.now.markRead(12));
  await until(() => ana.now.notifications[0]?.isRead && ana.now.unread === 0, "reading");
});
