// What the compiler must take, and must refuse, of an application that has declared its rooms. `tsc` fails when a line that is to be
// refused becomes right.
import type { Client, LoggedEvent, Room, RoomEvent, Transport, TransportEvents, OpenTransport } from "@bellhop/client";
import { BellhopProvider, useChatSocket, usePresenceSocket, useRoom, useSocketEvent } from "@bellhop/client/react";
import type { Emitter } from "@bellhop/client/server";
import "./application.js";

export async function client(client: Client, id: string): Promise<void> {
  const room: Room<"channel"> = client.join(`channel:${id}`);
  await room.publish("message:new", { content: "hi", color: "red" });
  await room.publish("poll:opened", { question: "soup?", options: ["yes"] });
  await room.publish("message:deleted", { messageId: "m1" }, { signal: AbortSignal.timeout(1) });
  room.signal("cursor", { x: 1, y: 2 });
  room.signal("typing:start");
  room.on("poll:closed", ({ data, from }) => void [data.option satisfies string, from?.userId]);
  room.on("cursor", ({ data }) => void (data.x satisfies number));
  room.on("user:typing", ({ data }) => void (data.until satisfies number));
  for await (const { data } of room.messages()) void (data.color satisfies "red" | "green" | undefined);
  const opened: RoomEvent = await room.once("poll:opened");
  (await room.once("poll:opened")).data.options satisfies string[];
  client.join("community:7").present.get("ana")?.data?.mood satisfies string | undefined;
  await client.join("board:1").presence("here", { column: 1 });
  client.join("user:ana").on("notification:new", ({ data }) => void (data.link satisfies string));
  const { votes } = await client.call("poll:vote", { room: "channel:42", data: { option: "soup" } });
  const count: number = await client.call("poll:count", {});
  const any: Room = room;
  const page = await room.history();
  page.events satisfies LoggedEvent[];
  page.events[0]!.seq satisfies number;
  using mine = client.join("channel:1");
  void [votes satisfies number, count, any, opened, mine];

  // @ts-expect-error a misspelt event, and no such data
  await room.publish("mesage:new", 42);
  // @ts-expect-error a misspelt event
  await room.publish("mesage:new", { content: "hi" });
  // @ts-expect-error no such data
  await room.publish("message:new", 42);
  // @ts-expect-error a color that there is none of
  await room.publish("message:new", { content: "hi", color: "blue" });
  // @ts-expect-error what the schema does not allow
  await room.publish("poll:opened", { question: "soup?" });
  // @ts-expect-error an event of another kind of room
  await room.publish("card:moved", { card: 1 });
  // @ts-expect-error the server's own name
  await room.publish("user:online", { userId: "ana", status: "online", since: 1 });
  // @ts-expect-error programs' alone
  await client.join("user:ana").publish("notification:new", { title: "Hello", link: "/" });
  // @ts-expect-error a misspelt kind
  client.join("chanel:1");
  // @ts-expect-error no kind at all
  client.join(id);
  // @ts-expect-error a handler of something else
  room.on("poll:closed", ({ data }: RoomEvent<"poll:closed", { votes: number }>) => void data);
  // @ts-expect-error a field that the event has not
  room.on("poll:closed", ({ data }) => void data.votes);
  // @ts-expect-error an event that there is none of
  room.on("poll:close", () => undefined);
  // @ts-expect-error a signal that there is none of
  room.signal("curser", { x: 1, y: 2 });
  // @ts-expect-error a signal without what it says
  room.signal("cursor");
  // @ts-expect-error presence of another kind
  await client.join("board:1").presence("here", { mood: "calm" });
  // @ts-expect-error a call that there is none of
  await client.call("poll:votes", { data: { option: "soup" } });
  // @ts-expect-error a call without what it asks
  await client.call("poll:vote", { room: "channel:42" });
}

export async function server(emitter: Emitter): Promise<void> {
  await emitter.publish({ rooms: ["channel:42"], event: "poll:closed", data: { option: "soup" } });
  await emitter.publish({ users: ["ana"], event: "notification:new", data: { title: "Hello", link: "/" } });
  await emitter.to("board:1").emit("card:moved", { card: 1 });
  await emitter.members("channel:42");
  // @ts-expect-error a misspelt event
  await emitter.publish({ rooms: ["channel:42"], event: "poll:close", data: { option: "soup" } });
  // @ts-expect-error no such data
  await emitter.publish({ rooms: ["channel:42"], event: "poll:closed", data: { votes: 1 } });
  // @ts-expect-error a misspelt kind
  await emitter.publish({ rooms: ["chanel:42"], event: "poll:closed", data: { option: "soup" } });
  // @ts-expect-error rooms that have no such event
  await emitter.publish({ rooms: ["board:42"], event: "poll:closed", data: { option: "soup" } });
  // @ts-expect-error a misspelt kind
  await emitter.members("chanel:42");
  // @ts-expect-error no such data
  await emitter.to("board:1").emit("card:moved", { card: "1" });
  // @ts-expect-error a misspelt kind
  emitter.to("bord:1");
}

export function Page(): null {
  useSocketEvent("poll:closed", ({ option }) => void (option satisfies string));
  useSocketEvent("error", ({ code }) => void code);
  usePresenceSocket("7").users.get("ana")?.data?.mood satisfies string | undefined;
  useRoom("board:1").room?.publish("card:moved", { card: 1 });
  useChatSocket("42").messages[0]?.color satisfies "red" | "green" | undefined;
  // @ts-expect-error an event that there is none of
  useSocketEvent("poll:close", () => undefined);
  // @ts-expect-error a handler of something else
  useSocketEvent("poll:closed", ({ votes }: { votes: number }) => void votes);
  // @ts-expect-error a misspelt kind
  useRoom("bord:1");
  // @ts-expect-error a status is a text, and the data that of communities
  void usePresenceSocket("7").setStatus("away", { column: 1 });
  return null;
}

// What is public may be written by others.
export const own: OpenTransport = (url: string, options, events: TransportEvents): Transport => ({
  open: false, send: (action) => (void [url, options, action], events.connecting(), false), good: () => undefined, reconnect: () => undefined, close: () => undefined,
});
void BellhopProvider;
