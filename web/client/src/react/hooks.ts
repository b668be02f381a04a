import { useEffect, useInsertionEffect, useMemo, useRef, useSyncExternalStore } from "react";
import type { ClientEvents } from "../api.js";
import type { EventData, HeardName, KindOf, RoomName, Undeclared } from "../register.js";
import type { RoomEvent } from "../types.js";
import { BuddyStore, type BuddyState } from "./buddies.js";
import { ChatStore, type ChatState } from "./chat.js";
import { NotificationsStore, type NotificationFields, type NotificationItem, type NotificationsState } from "./notifications.js";
import { PresenceStore, type PresenceState } from "./presence.js";
import { useSession } from "./provider.js";
import { PlainStore, type RoomState } from "./room.js";
import type { Session, Socket } from "./session.js";
import type { Store } from "./store.js";

/** No id, no room: the hook gives its first state, and its actions are refused. */
type Id = string | number | null | undefined;

function useStore<S extends object>(store: Store<S>): S {
  return useSyncExternalStore(store.subscribe, store.getSnapshot, store.getServerSnapshot);
}

interface Kind<T> {
  new (session: Session | null, id: string): T;
  key(id: string): string;
}

/** The store of a class that watches nothing. It is made when it is needed: a page that has one hook loads no other's store. */
const idle = /* @__PURE__ */ new WeakMap<object, unknown>();

/** One store for all components that watch the same; the idle one of its class for those without an id. */
function useShared<T>(hook: string, of: Kind<T>, id: Id): T {
  const session = useSession(hook);
  const name = String(id ?? "");
  if (name) return session.shared(of.key(name), () => new of(session, name));
  if (!idle.has(of)) idle.set(of, new of(null, ""));
  return idle.get(of) as T;
}

/** Gives the connection and how it is. */
export function useSocket(): Socket {
  return useStore(useSession("useSocket"));
}

/** What the data of an event is: of the connection's own events what the client gives. */
export type HeardData<E extends string> = E extends "error" | "dropped" ? ClientEvents[E] : EventData<string, E>;

/**
 * Hears an event of every room that a component has joined by a hook, of the user's own room, and of the connection
 * ("session:ending", "error", "dropped"). The handler may be another function in each render.
 */
export function useSocketEvent<E extends HeardName | "error" | "dropped">(event: E, handler: (data: HeardData<E>, event: RoomEvent) => void): void;
/** The same, for those who know what the data of an event of their own is, where nothing is declared. */
export function useSocketEvent<D>(event: Undeclared<string>, handler: (data: D, event: RoomEvent) => void): void;
export function useSocketEvent(event: string, handler: (data: never, event: RoomEvent) => void): void {
  const session = useSession("useSocketEvent");
  const latest = useRef(handler);
  useInsertionEffect(() => {
    latest.current = handler;
  });
  useEffect(() => session.listen(event, (heard) => latest.current(heard.data as never, heard)), [session, event]);
}

/** What {@link useChatSocket} gives. */
export interface ChatSocket<Row = unknown> extends ChatState<Row>, Pick<
  ChatStore,
  "sendMessage" | "deleteMessage" | "sendTyping" | "stopTyping" | "loadMore" | "retry"
> {}

/** What an application has declared that messages are. */
type MessageRow = [Undeclared<1>] extends [never] ? EventData<"channel", "message:new"> & object : object;

/** What {@link useChatSocket} takes beside the channel. */
export interface ChatOptions<Row> {
  /**
   * The application's own rows, oldest first, as a server component has read them. A row has an `id`, and may have `content`,
   * `userId`, `userName`, and `createdAt` or `ts`. What the log has under the same id is given once, with the row's fields.
   */
  initialMessages?: readonly Row[] | undefined;
}

/**
 * Joins a channel, shows its messages from the newest, and sends. Components with the same channel share all of it. Each
 * message has the fields of the row that was published, `Row`, beside those of {@link MessageFields}; the event
 * "message:edited", with a row as its data, changes the message of that id.
 */
export function useChatSocket<Row extends object = MessageRow>(channelId: Id, { initialMessages }: ChatOptions<Row> = {}): ChatSocket<Row> {
  const store = useShared("useChatSocket", ChatStore, channelId);
  const state = useStore(store);
  const messages = useMemo(() => store.withHistory(initialMessages ?? [], state.messages), [store, state.messages, initialMessages]);
  return useMemo(() => {
    const { sendMessage, deleteMessage, sendTyping, stopTyping, loadMore, retry } = store;
    return { ...state, messages, sendMessage, deleteMessage, sendTyping, stopTyping, loadMore, retry };
  }, [state, store, messages]);
}

/** What {@link usePresenceSocket} gives. */
export interface PresenceSocket extends PresenceState, Pick<PresenceStore, "setStatus"> {}

/** Joins a community: shows who is there, and shows this user to them. */
export function usePresenceSocket(communityId: Id): PresenceSocket {
  const store = useShared("usePresenceSocket", PresenceStore, communityId);
  const state = useStore(store);
  return useMemo(() => ({ ...state, setStatus: store.setStatus }), [state, store]);
}

/** What {@link useNotificationsSocket} gives. */
export interface NotificationsSocket<Row = unknown> extends NotificationsState<Row>, Pick<NotificationsStore, "markRead" | "markAllRead" | "loadMore"> {}

/**
 * Shows the notifications of a user, which is the one who is connected; without an argument it is that one anyway. Each has
 * the fields of the row that was sent, `Row`, beside those of {@link NotificationFields}.
 */
export function useNotificationsSocket<Row extends object = object>(userId?: string | number | null): NotificationsSocket<Row> {
  const me = useSocket().userId;
  const store = useShared("useNotificationsSocket", NotificationsStore, userId === undefined ? me : userId);
  const state = useStore(store);
  return useMemo(() => {
    const notifications = state.notifications as readonly NotificationFields[] as readonly NotificationItem<Row>[];
    return { ...state, notifications, markRead: store.markRead, markAllRead: store.markAllRead, loadMore: store.loadMore };
  }, [state, store]);
}

/** Shows what the buddies of the user who is connected did. */
export function useBuddySocket(): BuddyState {
  return useStore(useShared("useBuddySocket", BuddyStore, useSocket().userId));
}

/** Joins a room of any kind, by its whole name, such as "channel:42": for events of an application's own. */
export function useRoom<N extends RoomName>(name: N | null | undefined): RoomState<KindOf<N>> {
  return useStore(useShared("useRoom", PlainStore, name));
}
