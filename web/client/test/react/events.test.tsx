import { useState } from "react";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import {
  BellhopProvider, SocketErrorBoundary, useChatSocket, usePresenceSocket, useRoom, useSocket, useSocketEvent,
} from "../../src/react/index.js";
import { Page, Tab, acting, watch } from "./page.js";
import { forgive } from "./setup.js";
import { World, until } from "./world.js";

let world: World;
beforeAll(async () => void (world = await World.start()));
afterAll(() => world.end());

const publish = (room: string, event: string, data: unknown, id?: string) => world.emit({ command: "publish", rooms: [room], event, data, id });

test("an event is heard once from every room that a hook has joined, and from the user's own", async () => {
  const heard: unknown[] = [];
  const tab = await Tab.open(world, "ana", () => {
    useSocketEvent<{ n: number }>("app:ping", ({ n }, { room }) => heard.push(`${room} ${n}`));
    return [useChatSocket("one"), useChatSocket("one"), usePresenceSocket("town"), useRoom("channel:two")] as const;
  });
  await until(() => tab.now.every(({ isConnected }) => isConnected), "joins");
  await until(async () => (await world.connections("ana"))[0]?.rooms.length === 4, "joins");
  const rooms = ["channel:one", "channel:two", "community:town", "user:ana"];
  for (const [n, room] of rooms.entries()) await publish(room, "app:ping", { n });
  await until(() => heard.length >= 4, "events");
  await publish("channel:one", "app:pong", {});
  await publish("channel:one", "app:ping", { n: 9 });
  await until(() => heard.includes("channel:one 9"), "event");
  expect(heard).toEqual([...rooms.map((room, n) => `${room} ${n}`), "channel:one 9"]);
});

test("the handler of the last render hears, and one that throws keeps nothing from the others", async () => {
  const heard: string[] = [];
  let render = 0;
  const thrown = vi.fn();
  process.once("uncaughtException", thrown);
  const listeners = process.listeners("uncaughtException").filter((each) => each !== thrown);
  const tab = await Tab.open(world, "bob", () => {
    const now = ++render;
    useSocketEvent("message:new", () => {
      if (heard.length === 0) throw new Error("a bad handler");
    });
    useSocketEvent("message:new", ({ content }, { from }) => heard.push(`${content} of ${from?.userId} in ${now === render}`));
    return useChatSocket("handlers");
  });
  await until(() => tab.now.isConnected, "join");
  for (const each of listeners) process.off("uncaughtException", each);
  await tab.now.sendMessage("hi");
  await until(() => heard.length === 1, "event");
  for (const each of listeners) process.on("uncaughtException", each);
  process.off("uncaughtException", thrown);
  expect(thrown).toHaveBeenCalledTimes(1);
  expect(heard).toEqual(["hi of bob in true"]);
});

test("who begins to listen later hears the user's own room, too, and who listens no longer hears no more", async () => {
  const heard: unknown[] = [];
  const Listener = () => {
    useSocketEvent("notification:new", (data) => heard.push(data));
    return null;
  };
  const socket = watch(useSocket);
  const page = new Page();
  const app = (listening: boolean) => (
    <BellhopProvider url={world.ws} token={() => world.token("cleo")}>
      {socket.node}
      {listening && <Listener />}
    </BellhopProvider>
  );
  await page.show(app(false));
  await until(() => socket.now.isConnected, "connection");
  await page.show(app(true));
  await until(async () => {
    await world.emit({ command: "publish", users: ["cleo"], event: "notification:new", data: { title: "hi" } });
    return heard.length > 0;
  }, "notification");
  const own = socket.now.socket!.join("user:cleo");
  await page.show(app(false));
  const count = heard.length;
  const more = new Promise((resolve) => own.on("notification:new", ({ data }) => data.title === "more" && resolve(data)));
  await world.emit({ command: "publish", users: ["cleo"], event: "notification:new", data: { title: "more" } });
  await more;
  expect(heard).toHaveLength(count);
});

test("the end of a session is heard", async () => {
  const reasons: string[] = [];
  const tab = await Tab.open(world, "dora", () => {
    useSocketEvent("session:ending", ({ reason }) => reasons.push(reason));
    return useSocket();
  });
  await until(() => tab.now.isConnected, "connection");
  await world.emit({ command: "disconnect", user: "dora", reason: "spam" });
  await until(() => reasons.length > 0, "event");
  expect(reasons).toEqual(["spam"]);
});

test("a plain room gives its handle, to publish and signal with", async () => {
  const heard: unknown[] = [];
  const use = () => {
    useSocketEvent<{ x: number }>("cursor:moved", ({ x }, { from }) => heard.push([from?.userId, x]));
    return useRoom("channel:board");
  };
  const [ana, bob] = [await Tab.open(world, "ana", use), await Tab.open(world, "bob", use)];
  await until(() => ana.now.isConnected && bob.now.isConnected, "joins");
  expect(ana.now.room?.signal("cursor:moved", { x: 1 })).toBe(true);
  await until(() => heard.length > 0, "signal");
  expect(heard).toEqual([["ana", 1]]);
});

test("a token that cannot be had is an error of the connection, until it can", async () => {
  let good = false;
  const socket = watch(useSocket);
  const page = new Page();
  const token = async () => {
    if (!good) throw new Error("log in first");
    return world.token("eve");
  };
  await page.show(<BellhopProvider url={world.ws} token={token} options={{ maxDelay: 100 }}>{socket.node}</BellhopProvider>);
  await until(() => socket.now.error, "error");
  expect(socket.now).toMatchObject({ isConnected: false, status: "connecting", error: { code: "token" } });
  forgive();
  good = true;
  await until(() => socket.now.isConnected, "connection");
  expect(socket.now).toMatchObject({ status: "open", error: null, userId: "eve" });
});

test("a server that is not there is an error of the connection", async () => {
  const socket = watch(useSocket);
  const page = new Page();
  await page.show(<BellhopProvider url="ws://127.0.0.1:9/dev" token={() => world.token("gus")} options={{ maxDelay: 100 }}>{socket.node}</BellhopProvider>);
  await until(() => socket.now.error, "error");
  expect(socket.now).toMatchObject({ isConnected: false, status: "connecting", error: { code: "disconnected" } });
  forgive();
});

test("the boundary shows what is thrown, reports it, and lets one try again", async () => {
  let broken = true;
  const reported: string[] = [];
  function Chat() {
    const { socket } = useSocket();
    if (broken) throw new Error("broken");
    return <p>{socket ? "works" : "waits"}</p>;
  }
  function App() {
    const [channel, setChannel] = useState(1);
    return (
      <BellhopProvider url={world.ws} token={() => world.token("fay")}>
        <button onClick={() => setChannel(channel + 1)}>next</button>
        <SocketErrorBoundary
          resetKey={channel}
          onError={({ message }) => reported.push(message)}
          fallback={(error, reset) => <a onClick={reset}>{error.message}</a>}
        >
          <Chat />
        </SocketErrorBoundary>
      </BellhopProvider>
    );
  }
  const page = new Page();
  await page.show(<App />);
  expect(page.text).toBe("nextbroken");
  expect(reported).toEqual(["broken"]);
  await acting(() => page.element.querySelector("a")!.click());
  expect(page.text).toBe("nextbroken"); // still
  broken = false;
  await acting(() => page.element.querySelector("a")!.click());
  expect(page.text).toBe("nextworks");
  broken = true;
  await acting(() => page.element.querySelector("button")!.click());
  expect(page.text).toBe("nextbroken");
  broken = false;
  await acting(() => page.element.querySelector("button")!.click());
  expect(page.text).toBe("nextworks");
  forgive();
});

test("a hook without a provider says which, and a plain fallback is shown", async () => {
  const reported: string[] = [];
  const Lost = () => <p>{useChatSocket("x").messages.length}</p>;
  const page = new Page();
  await page.show(
    <SocketErrorBoundary fallback={<b>sorry</b>} onError={({ message }) => reported.push(message)}>
      <Lost />
    </SocketErrorBoundary>,
  );
  expect(page.text).toBe("sorry");
  expect(reported).toEqual(["useChatSocket needs a <BellhopProvider> above it."]);
  forgive();
});
