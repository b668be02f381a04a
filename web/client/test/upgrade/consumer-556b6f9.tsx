/**
 * An application of commit 556b6f9 that uses all that the package exported then, as it was typed then. It is compiled and never
 * run, and it is never changed: what it needs, applications need. Additions are no matter to it, so what it reads it takes for no
 * more than it was.
 */
import type { ReactNode } from "react";
import {
  BellhopError, connect, type CheckIn, type Client, type ClientEvents, type ConnectOptions, type DataOf, type ErrorCode, type From, type Goal,
  type HistoryResult, type Joined, type JoinResult, type LocalErrorCode, type Message, type Notification, type Occupant, type Position,
  type PresenceResult, type PublishResult, type Room, type RoomEvent, type Status, type SystemEvents, type Unsubscribe,
} from "../../src/index.js";
import {
  BellhopProvider, SocketErrorBoundary, useBuddySocket, useChatSocket, useNotificationsSocket, usePresenceSocket, useRoom, useSocket,
  useSocketEvent, type BellhopProviderProps, type BuddyActivity, type BuddyState, type ChatMessage, type ChatSocket, type ChatState,
  type HeardData, type NotificationItem, type NotificationsSocket, type NotificationsState, type PresenceSocket, type PresenceState,
  type RoomState, type Socket, type SocketError, type SocketErrorBoundaryProps, type TypingUser,
} from "../../src/react/index.js";
import {
  createEmitter, EmitError, fromEnvironment, http, lambda, socketEvents, sqs, type Ack, type Acks, type AwsClient, type Delivery,
  type Disconnect, type EmitErrorCode, type EmitErrorOptions, type Emitter, type EmitterOptions, type Environment, type EventOptions,
  type HttpOptions, type LambdaOptions, type Member, type MembersResult, type Operator, type Outcome, type Outcomes, type PresenceChange,
  type Publish, type Published, type RetryOptions, type Socket as ServerSocket, type SqsOptions, type TargetResult, type Transport,
  type TransportErrorCode,
} from "../../src/server/index.js";
import { socketIO, type OpenTransport, type SocketLike } from "../../src/socketio.js";

declare const something: SocketLike;
declare const aws: AwsClient;

// What may be given.
const overSocketIO: OpenTransport = socketIO((url: string): SocketLike => (void url, something));
const options: ConnectOptions = {
  token: () => "jwt", WebSocket: undefined, offlineLimit: 10, publishTimeout: 1, replyTimeout: 1, maxDelay: 1, transport: overSocketIO,
};
const later: ConnectOptions = { token: async () => "jwt" };
const codes: ErrorCode[] = [
  "bad_request", "unauthenticated", "forbidden", "unknown_action", "unknown_room_kind", "not_in_room", "too_many_rooms", "rate_limited",
  "too_large", "expired", "conflict", "unavailable", "internal",
];
const ownCodes: LocalErrorCode[] = ["timeout", "disconnected", "closed", "dropped", "token"];
const from: From = { userId: "ana", name: "Ana" };
const occupant: Occupant = { userId: "ana", status: "away", data: { mood: "calm" }, since: 1, version: 2 };
const message: Message = { content: "hi", color: "red" };
const notification: Notification = { type: "t", title: "t", body: "b", link: "/" };
const goal: Goal = { goalId: "g", title: "t", days: 3 };
const checkIn: CheckIn = { goalId: "g", note: "n", days: 3 };
const position: Position = { epoch: "k3", seq: 41 };

/** Data of the system's events, which an application makes up in its tests. */
export const events: { [E in "message:new" | "message:deleted" | "user:typing" | "user:online" | "user:offline" | "presence:changed"
  | "notification:new" | "notification:read" | "buddy:goal-completed" | "buddy:check-in" | "room:closed" | "session:ending"]: SystemEvents[E] } = {
  "message:new": message, "message:deleted": { messageId: "m" }, "user:typing": { until: 1 }, "user:online": occupant, "user:offline": from,
  "presence:changed": occupant, "notification:new": notification, "notification:read": { notificationId: "n" },
  "buddy:goal-completed": goal, "buddy:check-in": checkIn, "room:closed": { reason: "over" }, "session:ending": { reason: "over" },
};
export const stopped: SystemEvents["user:stopped-typing"] = undefined;
export const mine: DataOf<"poll:opened"> = { anything: "goes" };

// The client.
export async function talk(): Promise<void> {
  const client: Client = connect("ws://127.0.0.1:4000/dev", options);
  connect("ws://127.0.0.1:4000/dev", later);
  const status: Status = client.status;
  const open: boolean = status === "open" || status === "connecting" || status === "closed";
  const user: string | null = client.userId;
  const why: ClientEvents["error"] | null = client.error;
  const off: Unsubscribe = client.on("status", (s: Status) => void s);
  client.on("error", (e) => report(e.code, e.message, e.retry));
  client.on("session:ending", ({ reason }: { reason: string }) => void reason);
  client.on("dropped", ({ room, event, id }: { room: string; event: string; id: string }) => void [room, event, id]);
  client.on("event", (e: RoomEvent) => void e);
  off();
  const done: PresenceResult = await client.presence("away", { mood: "calm" });
  const kept: [string[], string] = [done.rooms, done.status];
  const read: PublishResult = await client.readNotification("n1");
  const answer: { ok: boolean } = await client.call<{ ok: boolean }>("poll:vote", { room: "channel:42", data: 1, id: "v1" });
  const unknown: unknown = await client.call("poll:vote");
  client.reconnect();
  const room: Room = client.join("channel:42", { since: position });
  client.join("channel:42");
  await inRoom(room);
  client.close();
  void [open, user, why, kept, read.seq, answer.ok, unknown, codes, ownCodes];
}

async function inRoom(room: Room): Promise<void> {
  const now: [string, boolean, Position | null, ReadonlyMap<string, Occupant>, ClientEvents["error"] | null] =
    [room.name, room.joined, room.position, room.present, room.error];
  room.on("message:new", (e: RoomEvent<"message:new">) => {
    const text: string = e.data.content;
    const more: unknown = e.data["color"];
    const place: [string, string, number | undefined, string | undefined, number | undefined, string | undefined] =
      [e.event, e.room, e.seq, e.id, e.ts, e.from?.name];
    void [text, more, place];
  });
  room.on("user:typing", ({ data }) => void (data.until satisfies number));
  room.on("poll:opened", ({ data }) => void (data satisfies unknown));
  room.onAny((e: RoomEvent) => void e);
  room.onJoined(({ recovered, first, missed, position, state }: Joined) => void [recovered satisfies boolean, first satisfies boolean, missed satisfies number, position satisfies Position, state satisfies unknown]);
  const off: Unsubscribe = room.onChange(() => undefined);
  off();
  const { epoch, seq, id, ts }: PublishResult = await room.publish("message:new", message, { id: "m1" });
  await room.publish("poll:opened", { anything: "goes" });
  const sent: boolean = room.signal("typing:start");
  room.signal("cursor", { x: 1 });
  const presence: PresenceResult = await room.presence("busy", 1);
  const page: HistoryResult = await room.history({ before: 10, limit: 5 });
  await room.history();
  for (const e of page.events) void (e satisfies RoomEvent);
  room.leave();
  void [now, epoch satisfies string, seq satisfies number, id satisfies string, ts satisfies number, sent, presence];
  void [page.room satisfies string, page.epoch satisfies string, page.seq satisfies number, page.more satisfies boolean];
}

function report(code: string, text: string, retry: boolean): void {
  const error = new BellhopError("timeout", text, { retry, retryAfterMs: 1, cause: code });
  const is: Error = error;
  const all: [string, string, boolean, number | undefined] = [error.name, error.code, error.retry, error.retryAfterMs];
  void [is, all];
}

export function joined(result: JoinResult): unknown[] {
  return [
    result.room satisfies string, result.epoch satisfies string, result.seq satisfies number, result.recovered satisfies boolean,
    result.more satisfies boolean | undefined, result.events satisfies RoomEvent[], result.presence satisfies Occupant[] | undefined, result.state,
  ];
}

// React.
const props: BellhopProviderProps = { url: "wss://example.org", token: () => "jwt", user: "ana", options: { offlineLimit: 10 } };
const boundary: SocketErrorBoundaryProps = {
  fallback: (error: Error, reset: () => void) => <button onClick={reset}>{error.message}</button>, onError: (error, info) => void [error, info.componentStack],
  resetKey: 1, children: "text",
};

export function App({ client }: { client: Client }): ReactNode {
  return (
    <BellhopProvider {...props}>
      <SocketErrorBoundary {...boundary}><Page /></SocketErrorBoundary>
      <SocketErrorBoundary fallback="It broke."><BellhopProvider client={client}><Page /></BellhopProvider></SocketErrorBoundary>
    </BellhopProvider>
  );
}

export function Page(): ReactNode {
  const { socket, isConnected, status, error, userId }: Socket = useSocket();
  const chat: ChatSocket = useChatSocket("42");
  const state: ChatState = chat;
  const presence: PresenceSocket = usePresenceSocket(undefined);
  const inbox: NotificationsSocket = useNotificationsSocket();
  useNotificationsSocket("ana");
  const buddies: BuddyState = useBuddySocket();
  const { room, ...rest }: RoomState = useRoom(null);
  useSocketEvent("message:deleted", ({ messageId }, e: RoomEvent) => void [messageId satisfies string, e]);
  useSocketEvent("error", (e: HeardData<"error">) => void e.code);
  useSocketEvent<{ question: string }>("poll:opened", ({ question }) => void (question satisfies string));
  const messages: readonly ChatMessage[] = chat.messages;
  const typing: readonly TypingUser[] = chat.typingUsers;
  const read = (m: ChatMessage): unknown[] => [
    m.id satisfies string, m.seq satisfies number | undefined, m.content satisfies string, m.userId satisfies string, m.userName satisfies string | undefined,
    m.ts satisfies number, m.status satisfies string, m.error satisfies SocketError | undefined, m.deleted satisfies true | undefined, m.data satisfies Message,
  ];
  const act = async (): Promise<void> => {
    const id: string = await chat.sendMessage("hi");
    await chat.sendMessage({ content: "hi", color: "red" });
    await chat.retry(id);
    await chat.deleteMessage(id);
    chat.sendTyping();
    chat.stopTyping();
    await chat.loadMore();
    await presence.setStatus("away", { mood: "calm" });
    await inbox.markRead("n1");
    await inbox.markAllRead();
  };
  const flags: boolean[] = [isConnected, chat.isConnected, chat.isLoading, chat.recovered, chat.hasMore, presence.isConnected, inbox.isConnected, inbox.isLoading, buddies.isConnected, buddies.isLoading, rest.isConnected];
  const failures: (SocketError | null)[] = [error, chat.error, presence.error, inbox.error, buddies.error, rest.error];
  const online: readonly string[] = presence.onlineUsers;
  const users: ReadonlyMap<string, Occupant> = presence.users;
  const there: PresenceState = presence;
  const letters: NotificationsState = inbox;
  const items: readonly NotificationItem[] = inbox.notifications;
  const item = (n: NotificationItem): unknown[] => [n.id satisfies string, n.type satisfies string, n.title satisfies string, n.body satisfies string, n.isRead satisfies boolean, n.ts satisfies number, n.data satisfies Notification];
  const buddy = (b: BuddyActivity<Goal>): unknown[] => [b.id satisfies string, b.ts satisfies number, b.userId satisfies string | undefined, b.userName satisfies string | undefined, b.data satisfies Goal, b.title];
  const checks: readonly BuddyActivity<CheckIn>[] = buddies.checkIns;
  void [socket satisfies Client | null, status satisfies Status, userId satisfies string | null, state, act, flags, failures, users, there, letters, checks, room satisfies Room | null];
  return (
    <button onMouseDown={chat.sendTyping}>
      {messages.map(read).length + items.map(item).length + buddies.goals.map(buddy).length + (inbox.unread satisfies number)} {typing.map(({ userId, userName }) => userId + userName)} {online.join()}
    </button>
  );
}

// Servers.
const retries: RetryOptions = { attempts: 3, delay: 100, timeout: 1_000 };
const overLambda: LambdaOptions = { functionName: "emit", client: aws, async: true, ...retries };
const overSqs: SqsOptions = { queueUrl: "https://sqs.example/q", client: aws, ...retries };
const overHttp: HttpOptions = { endpoint: "http://127.0.0.1:4000", fetch, ...retries };
const environment: Environment = {
  BELLHOP_EMIT_FUNCTION: "emit", BELLHOP_EMIT_QUEUE_URL: undefined, BELLHOP_ENDPOINT: undefined, NODE_ENV: "production", AWS_LAMBDA_FUNCTION_NAME: undefined,
};
const lost: TransportErrorCode[] = ["network", "timeout", "throttled", "function", "refused", "no_answer", "config"];
const own: Transport = {
  answers: true,
  send: async (commands: readonly string[]): Promise<readonly Outcome[]> => commands.map(() => ({ answer: { ok: true }, error: new EmitError("network", "gone") })),
};

export async function emit(): Promise<void> {
  const transports: Transport[] = [lambda(overLambda), sqs(overSqs), http(overHttp), fromEnvironment(() => environment), fromEnvironment(), own];
  const settings: EmitterOptions = { newId: () => "id" };
  const emitter: Emitter = createEmitter(own, settings);
  const some: EventOptions = { id: "1", from, except: ["bob"] };
  const delivery: Delivery = { rooms: ["channel:42"], users: ["ana"], connections: ["c="], id: "1", ephemeral: true, except: ["bob"], from };
  const publish: Publish<"message:new"> = { ...delivery, event: "message:new", data: message };
  const change: PresenceChange = { userId: "ana", name: "Ana", status: "away", data: 1 };
  const whom: Disconnect[] = [{ user: "ana", reason: "over" }, { connection: "c=" }];
  const published: Published[] = [
    await emitter.newMessage("42", message, some), await emitter.messageDeleted("42", "m1"), await emitter.newNotification(["ana"], notification, some),
    await emitter.newNotification("ana", notification), await emitter.presenceChanged("7", change, some), await emitter.buddyGoalCompleted("ana", goal, some),
    await emitter.buddyCheckIn(["ana"], checkIn, some), await emitter.userTyping("42", from), await emitter.userStoppedTyping("42", from),
    await emitter.publish(publish), await emitter.publish({ event: "poll:opened", rooms: ["channel:42"], data: 1 }), await socketEvents.newMessage("42", message),
  ];
  const outcomes: Outcomes[] = await emitter.publishAll(publish, { event: "poll:opened", rooms: ["channel:42"] });
  const error: EmitError | undefined = outcomes[0]?.error;
  const target = (r: TargetResult): unknown[] => [
    r.room satisfies string | undefined, r.connection satisfies string | undefined, r.epoch satisfies string | undefined, r.seq satisfies number | undefined,
    r.id satisfies string | undefined, r.ts satisfies number | undefined, r.gone satisfies boolean | undefined, r.error?.code satisfies string | undefined, r.error?.message satisfies string | undefined, r.error?.retry satisfies boolean | undefined,
  ];
  const present: Occupant[] = await emitter.presence("community:7");
  const { room, members, more }: MembersResult = await emitter.members("channel:42");
  const member: Member[] = members;
  const who: (string | undefined)[] = [room, member[0]?.connection, member[0]?.userId];
  const cut: boolean = more;
  const page: HistoryResult = await emitter.history("channel:42", { before: 10, limit: 5 });
  await emitter.history("channel:42");
  const { connections, users, rooms, memberships } = await emitter.stats();
  const numbers: [number, number, Record<string, number>, Record<string, number>] = [connections, users, rooms, memberships];
  const counts: number[] = [await emitter.disconnect(whom[0] as Disconnect), await emitter.join("ana", "channel:42"), await emitter.leave("ana", "channel:42")];
  await emitter.close("channel:42", "over");
  await emitter.close("channel:42");
  await operate(emitter);
  void [transports, published.map((p) => [p.id satisfies string | undefined, p.results.map(target)]), error, present, who, cut, page, numbers, counts, lost];
}

async function operate(emitter: Emitter): Promise<void> {
  const operator: Operator = emitter.to("channel:42").to(["channel:43"]).in("user:ana").except(["bob"]).volatile.timeout(1_000);
  const sent: Published = await operator.emit("message:new", message, { id: "1", from });
  await emitter.in(["channel:42"]).emit("poll:opened");
  const { answers, missing }: Acks = await operator.emitWithAck("sure?", 1);
  const ack: Ack | undefined = answers[0];
  const sockets: ServerSocket[] = await operator.fetchSockets();
  await operator.socketsJoin("channel:42");
  await operator.socketsLeave(["channel:42"]);
  await operator.disconnectSockets("over");
  await operator.disconnectSockets();
  const s = sockets[0];
  void [sent, missing satisfies string[], ack?.connection satisfies string | undefined, ack?.userId satisfies string | undefined, ack?.args satisfies unknown[] | undefined];
  void [s?.connection satisfies string | undefined, s?.userId satisfies string | undefined, s?.name satisfies string | undefined, s?.rooms satisfies string[] | undefined, s?.codec satisfies string | undefined, s?.connectedAt satisfies number | undefined];
}

export function failed(thrown: unknown): EmitError {
  const options: EmitErrorOptions = { retry: true, id: "1", results: [], cause: thrown };
  const code: EmitErrorCode = "forbidden";
  const error = new EmitError(code, "no", options);
  const all: [string, string, string, boolean, string | undefined, readonly TargetResult[] | undefined] = [error.name, error.code, error.message, error.retry, error.id, error.results];
  void all;
  return error;
}
