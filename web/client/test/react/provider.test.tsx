import * as React from "react";
import { Activity, StrictMode, useState, version } from "react";
import { renderToString } from "react-dom/server";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { connect, type Client } from "../../src/index.js";
import {
  BellhopProvider, useBuddySocket, useChatSocket, useNotificationsSocket, usePresenceSocket, useRoom, useSocket, useSocketEvent,
} from "../../src/react/index.js";
import { Page, acting, watch } from "./page.js";
import { forgive } from "./setup.js";
import { World, until } from "./world.js";

let world: World;
beforeAll(async () => void (world = await World.start()));
afterAll(() => world.end());

/** Waits until somebody who begins to connect now is connected: whoever began before is, too. */
async function settled() {
  const probe = world.connect("probe");
  await until(() => probe.status === "open", "connection");
  probe.close();
}

/** Waits until a user has exactly so many connections, and still has when others have come. */
async function connections(user: string, count: number) {
  await until(async () => (await world.connections(user)).length === count, `${count} connections of ${user}`);
  await settled();
  expect(await world.connections(user)).toHaveLength(count);
}

function useEverything(name: string) {
  useSocketEvent("message:new", () => {});
  return {
    socket: useSocket(), chat: useChatSocket(name), presence: usePresenceSocket(name), notifications: useNotificationsSocket(),
    buddies: useBuddySocket(), room: useRoom(`channel:${name}-too`),
  };
}

test(`this is the React that the tests are to run with`, () => {
  expect(version.split(".")[0]).toBe(process.env.REACT);
});

test("in StrictMode one connection is opened, in all rooms, and unmounting leaves nothing", async () => {
  const everything = watch(() => useEverything("strict"));
  const page = new Page();
  await page.show(
    <StrictMode>
      <BellhopProvider url={world.ws} token={() => world.token("strict")}>
        {everything.node}
        {everything.node}
      </BellhopProvider>
    </StrictMode>,
  );
  await until(() => everything.now.presence.isConnected && everything.now.buddies.isConnected, "join");
  await connections("strict", 1);
  expect((await world.connections("strict"))[0]?.rooms.toSorted()).toEqual([
    "channel:strict", "channel:strict-too", "community:strict", "user:strict",
  ]);
  const { socket } = everything.now.socket;
  expect(socket?.status).toBe("open");
  await page.close();
  expect(socket?.status).toBe("closed");
  await connections("strict", 0);
});

test("nothing is left that runs: no timers of the hooks' or the client's", async () => {
  const chat = watch(() => useChatSocket("timers"));
  const page = new Page();
  const timers = new Set<unknown>();
  const [set, clear] = [globalThis.setTimeout, globalThis.clearTimeout];
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((done: () => void, ms?: number) => {
    const timer = set(() => {
      timers.delete(timer);
      done();
    }, ms);
    timers.add(timer);
    return timer;
  }) as typeof setTimeout);
  vi.spyOn(globalThis, "clearTimeout").mockImplementation((timer) => {
    timers.delete(timer);
    clear(timer);
  });
  await page.show(
    <BellhopProvider url={world.ws} token={() => world.token("timers")}>
      {chat.node}
    </BellhopProvider>,
  );
  await until(() => chat.now.isConnected && !chat.now.isLoading, "join");
  await acting(() => chat.now.sendTyping());
  expect(timers.size).toBeGreaterThan(1); // that of typing, and the client's own
  await page.close();
  vi.mocked(setTimeout).mockRestore();
  await connections("timers", 0);
  await until(() => timers.size === 0, "end of the timers", 1_000);
});

test("mounting again and again, as Fast Refresh does, ends with one connection", async () => {
  const chat = watch(() => useChatSocket("refresh"));
  const page = new Page();
  for (let key = 0; key < 5; key++) {
    await page.show(
      <StrictMode>
        <BellhopProvider key={key} url={world.ws} token={() => world.token("refresh")}>
          {chat.node}
        </BellhopProvider>
      </StrictMode>,
    );
    if (key % 2) await settled();
  }
  await until(() => chat.now.isConnected, "join");
  await connections("refresh", 1);
});

test("a component that is mounted again keeps the room, and so does a move from one to another", async () => {
  const chat = watch(() => useChatSocket("kept"));
  const socket = watch(useSocket);
  const page = new Page();
  const app = (key: string) => (
    <BellhopProvider url={world.ws} token={() => world.token("kept")}>
      {socket.node}
      <div key={key}>{chat.node}</div>
    </BellhopProvider>
  );
  await page.show(app("first"));
  await until(() => chat.now.isConnected && !chat.now.isLoading, "join");
  await acting(() => chat.now.sendMessage("hello"));
  const [messages, renders] = [chat.now.messages, chat.all.length];
  await page.show(app("second"));
  expect(chat.now.messages).toBe(messages);
  expect(chat.all.slice(renders).every(({ isConnected }) => isConnected)).toBe(true);
});

test("rendering again with another token function connects no second time, and the newest function is asked", async () => {
  const socket = watch(useSocket);
  const asked: number[] = [];
  const page = new Page();
  for (let render = 0; render < 5; render++) {
    const token = () => {
      asked.push(render);
      return world.token("tokens");
    };
    await page.show(<BellhopProvider url={world.ws} token={token} options={{ maxDelay: 100 }}>{socket.node}</BellhopProvider>);
  }
  await until(() => socket.now.isConnected, "connection");
  await connections("tokens", 1);
  const before = asked.length;
  await world.cut("tokens");
  await until(() => asked.length > before, "token");
  expect(asked.at(-1)).toBe(4);
  expect(before).toBe(1);
  await connections("tokens", 1);
});

test("another user, or another url, is another connection, with the token of then; nobody is none", async () => {
  const chat = watch(() => ({ socket: useSocket(), chat: useChatSocket("moving") }));
  const page = new Page();
  const show = (user: string | null, url = world.ws) =>
    page.show(
      <BellhopProvider url={url} user={user} token={() => world.token(user ?? "nobody")}>
        {chat.node}
      </BellhopProvider>,
    );
  await show(null);
  await settled();
  expect(chat.now.socket).toMatchObject({ socket: null, isConnected: false, status: "closed" });
  expect(await world.connections("nobody")).toEqual([]);
  await show("mover");
  await until(() => chat.now.chat.isConnected, "join");
  const first = chat.now.socket.socket;
  await show("mover2");
  await until(() => chat.now.chat.isConnected && chat.now.socket.userId === "mover2", "join");
  await connections("mover", 0);
  await connections("mover2", 1);
  expect(first?.status).toBe("closed");
  const second = chat.now.socket.socket;
  await show("mover2", `${world.ws}?again`);
  await until(() => chat.now.chat.isConnected && chat.now.socket.socket !== second, "join");
  await connections("mover2", 1);
  await show(null);
  await connections("mover2", 0);
  expect(chat.now.chat).toMatchObject({ isConnected: false, isLoading: false, messages: [] });
});

test("a client that is given is used, and is not closed", async () => {
  const client: Client = connect(world.ws, { token: () => world.token("given") });
  const chat = watch(() => useChatSocket("given"));
  const page = new Page();
  await page.show(<StrictMode><BellhopProvider client={client}>{chat.node}</BellhopProvider></StrictMode>);
  await until(() => chat.now.isConnected, "join");
  await page.close();
  await settled();
  expect(client.status).toBe("open");
  expect((await world.connections("given")).map(({ rooms }) => rooms.filter((room) => room.startsWith("channel:")))).toEqual([[]]);
  client.close();
  await connections("given", 0);
});

test("a server renders the empty state, and connects nowhere", async () => {
  const everything = watch(() => useEverything("server"));
  const token = vi.fn(() => world.token("server"));
  const window = globalThis.window;
  Reflect.deleteProperty(globalThis, "window");
  const { WebSocket } = globalThis;
  Reflect.deleteProperty(globalThis, "WebSocket");
  try {
    renderToString(<BellhopProvider url={world.ws} token={token}>{everything.node}</BellhopProvider>);
  } finally {
    Object.assign(globalThis, { window, WebSocket });
  }
  expect(everything.now).toMatchObject({
    socket: { socket: null, isConnected: false, status: "connecting", error: null },
    chat: { messages: [], typingUsers: [], isConnected: false, isLoading: true, hasMore: false, error: null },
    presence: { onlineUsers: [], isConnected: false },
    notifications: { notifications: [], unread: 0, isConnected: false },
    buddies: { goals: [], checkIns: [] },
    room: { room: null },
  });
  await expect(everything.now.chat.sendMessage("hi")).rejects.toMatchObject({ code: "disconnected" });
  await settled();
  expect(token).not.toHaveBeenCalled();
  expect(await world.connections("server")).toEqual([]);
});

test("what a server has rendered is hydrated without a difference, and then connects", async () => {
  const chat = watch(() => useChatSocket("hydrated"));
  function App() {
    const [title] = useState("Chat");
    return (
      <BellhopProvider url={world.ws} token={() => world.token("hydrated")}>
        <h1>{title}</h1>
        {chat.node}
        <Status />
      </BellhopProvider>
    );
  }
  const Status = () => <p>{useSocket().status}</p>;
  const html = renderToString(<App />);
  expect(html).toBe("<h1>Chat</h1><p>connecting</p>");
  const page = new Page();
  await page.hydrate(html, <StrictMode><App /></StrictMode>);
  await until(() => chat.now.isConnected, "join");
  await until(() => page.text === "Chatopen", "status");
  await connections("hydrated", 1);
});

test.runIf("Activity" in React)("what is hidden leaves its room, and is up to date when it is shown again", async () => {
  const chat = watch(() => useChatSocket("hidden"));
  const page = new Page();
  const show = (mode: "visible" | "hidden") =>
    page.show(
      <StrictMode>
        <BellhopProvider url={world.ws} token={() => world.token("hider")}>
          <Activity mode={mode}>{chat.node}</Activity>
        </BellhopProvider>
      </StrictMode>,
    );
  const say = (content: string) => world.emit({ command: "publish", rooms: ["channel:hidden"], event: "message:new", data: { content } });
  const contents = () => chat.now.messages.map(({ content }) => content).join();
  await say("one");
  await show("visible");
  await until(() => contents() === "one", "message");
  await show("hidden");
  await until(async () => !(await world.connections("hider"))[0]?.rooms.includes("channel:hidden"), "leave");
  await say("two");
  await show("visible");
  await until(() => contents() === "one,two", "message");
  await connections("hider", 1);
});

test("a tab that nobody looks at is paused after a minute, hears of its notifications, and is up to date when it is seen again", async () => {
  const all = watch(() => ({ chat: useChatSocket("tab"), presence: usePresenceSocket("tab"), own: useNotificationsSocket() }));
  const page = new Page();
  let state = "visible";
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => state as DocumentVisibilityState);
  const look = (next: string) => {
    state = next;
    document.dispatchEvent(new Event("visibilitychange"));
  };
  let minute: (() => void) | undefined;
  const set = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((done: () => void, ms?: number) => {
    if (ms === 60_000 && state === "hidden") minute = done;
    return set(done, ms);
  }) as typeof setTimeout);
  const frames: string[] = [];
  class Listening extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args);
      this.on("message", (data) => frames.push(String(data)));
    }
  }
  await page.show(
    <BellhopProvider url={world.ws} token={() => world.token("tab")} options={{ WebSocket: Listening }}>
      {all.node}
    </BellhopProvider>,
  );
  await until(() => all.now.chat.isConnected && all.now.presence.isConnected && all.now.own.isConnected, "join");
  await acting(() => look("hidden"));
  await acting(() => minute!());
  await until(() => frames.some((frame) => frame.includes(`"rooms":["channel:tab","community:tab"]`)), "pause");
  const say = (content: string) => world.emit({ command: "publish", rooms: ["channel:tab"], event: "message:new", data: { content } });
  await say("one");
  await say("two");
  const bob = world.connect("bob").join("community:tab");
  await until(() => bob.joined, "join of another");
  await world.emit({ command: "publish", rooms: ["user:tab"], event: "notification:new", data: { title: "for you" } });
  await until(() => all.now.own.unread === 1, "notification");
  expect([all.now.chat.messages.length, all.now.presence.onlineUsers]).toEqual([0, ["tab"]]);
  await acting(() => look("visible"));
  await until(() => all.now.chat.messages.map(({ content }) => content).join() === "one,two", "messages");
  await until(() => all.now.presence.onlineUsers.includes("bob"), "presence");
  expect(all.now.own.unread).toBe(1);
});

test("a provider without a URL says so, in the hooks and in the console", async () => {
  const all = watch(() => ({ socket: useSocket(), chat: useChatSocket("wrong") }));
  const page = new Page();
  await page.show(<BellhopProvider url={undefined as unknown as string} token={() => world.token("wrong")}>{all.node}</BellhopProvider>);
  const error = { code: "bad_request", message: expect.stringMatching(/connect needs the URL.*was given undefined/) };
  await until(() => all.now.socket.error, "error");
  expect(all.now.socket).toMatchObject({ socket: null, status: "closed", error });
  await until(() => all.now.chat.error, "error");
  expect(all.now.chat).toMatchObject({ isLoading: false, isConnected: false, error });
  expect(vi.mocked(console.error)).toHaveBeenCalledTimes(1);
  forgive();
});

test("a connection that is refused shows why in every hook, until there is one", async () => {
  const all = watch(() => ({ socket: useSocket(), chat: useChatSocket("refused") }));
  const page = new Page();
  let token = "nonsense";
  await page.show(<BellhopProvider url={world.ws} token={() => token} options={{ maxDelay: 100 }}>{all.node}</BellhopProvider>);
  await until(() => all.now.chat.error, "error");
  expect(all.now.chat).toMatchObject({ isLoading: true, error: { code: "disconnected", message: expect.stringContaining("no JWT") } });
  expect(all.now.socket.error).toBe(all.now.chat.error);
  expect(vi.mocked(console.warn)).toHaveBeenCalledTimes(1);
  forgive();
  token = world.token("refused");
  await until(() => all.now.chat.isConnected && !all.now.chat.isLoading, "join");
  expect(all.now.chat.error).toBeNull();
  const before = all.all.length;
  await world.cut("refused");
  await until(() => all.all.slice(before).some(({ chat }) => !chat.isConnected), "cut");
  expect(all.all.slice(before).every(({ chat }) => chat.error === null)).toBe(true);
});

test("hooks without an id are idle", async () => {
  const idle = watch(() => ({ chat: useChatSocket(null), presence: usePresenceSocket(undefined), notifications: useNotificationsSocket(null) }));
  const page = new Page();
  await page.show(<BellhopProvider url={world.ws} token={() => world.token("idle")}>{idle.node}</BellhopProvider>);
  await connections("idle", 1);
  expect(idle.now.chat).toMatchObject({ messages: [], isConnected: false, isLoading: false, error: null });
  await expect(idle.now.chat.sendMessage("hi")).rejects.toMatchObject({ code: "disconnected" });
  await expect(idle.now.presence.setStatus("away")).rejects.toMatchObject({ code: "disconnected" });
  expect((await world.connections("idle"))[0]?.rooms).toEqual(["user:idle"]);
});
