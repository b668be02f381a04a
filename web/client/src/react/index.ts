"use client";

/**
 * Bellhop for React 18 and later: one provider, and a hook for each thing to watch. State is read by useSyncExternalStore
 * from small stores, which components share; on a server, and until the page is hydrated, hooks give their empty state.
 */
export { SocketErrorBoundary, type SocketErrorBoundaryProps } from "./boundary.js";
export type { BuddyActivity, BuddyState } from "./buddies.js";
export type { ChatMessage, ChatState, MessageFields } from "./chat.js";
export {
  useBuddySocket, useChatSocket, useNotificationsSocket, usePresenceSocket, useRoom, useSocket, useSocketEvent,
  type ChatOptions, type ChatSocket, type HeardData, type NotificationsSocket, type PresenceSocket,
} from "./hooks.js";
export type { NotificationFields, NotificationItem, NotificationsState } from "./notifications.js";
export type { PresenceState } from "./presence.js";
export { BellhopProvider, type BellhopProviderProps } from "./provider.js";
export type { RoomState, SocketError } from "./room.js";
export type { Socket } from "./session.js";
export type { TypingUser } from "./typing.js";
