"use client";
import { createContext, useContext, useEffect, useState, type ReactNode } from "react";
import { io, type Socket } from "socket.io-client";
import type { MessageRow, NotificationRow } from "@/db";

const SocketContext = createContext<{ socket: Socket | null; isConnected: boolean }>({ socket: null, isConnected: false });

export function SocketProvider({ user, children }: { user: string | null; children: ReactNode }) {
  const [socket, setSocket] = useState<Socket | null>(null);
  const [isConnected, setConnected] = useState(false);
  useEffect(() => {
    if (user === null) return;
    const opened = io({ path: "/api/socket" });
    opened.on("connect", () => {
      console.log("Socket connected:", opened.id);
      setConnected(true);
    });
    opened.on("disconnect", () => setConnected(false));
    setSocket(opened);
    return () => void opened.close();
  }, [user]);
  return <SocketContext.Provider value={{ socket, isConnected }}>{children}</SocketContext.Provider>;
}

export const useSocket = () => useContext(SocketContext);

export function useSocketEvent<T>(event: string, handler: (data: T) => void) {
  const { socket } = useSocket();
  useEffect(() => {
    socket?.on(event, handler);
    return () => void socket?.off(event, handler);
  }, [socket, event, handler]);
}

export function useChatSocket(channelId: number) {
  const { socket, isConnected } = useSocket();
  const [messages, setMessages] = useState<MessageRow[]>([]);
  const [typingUsers, setTypingUsers] = useState<{ userId: string; userName: string }[]>([]);
  useEffect(() => {
    if (!socket) return;
    const without = (userId: string) => setTypingUsers((users) => users.filter((user) => user.userId !== userId));
    const handlers = {
      "message:new": (row: MessageRow) => setMessages((rows) => [...rows, row]),
      "message:edited": (row: MessageRow) => setMessages((rows) => rows.map((one) => (one.id === row.id ? row : one))),
      "message:deleted": ({ messageId }: { messageId: number }) => setMessages((rows) => rows.filter(({ id }) => id !== messageId)),
      "user:typing": (user: { userId: string; userName: string }) => {
        without(user.userId);
        setTypingUsers((users) => [...users, user]);
      },
      "user:stopped-typing": (user: { userId: string }) => without(user.userId),
      "connect": () => void socket.emit("join:channel", channelId),
    };
    for (const [event, handler] of Object.entries(handlers)) socket.on(event, handler);
    socket.emit("join:channel", channelId);
    return () => {
      for (const [event, handler] of Object.entries(handlers)) socket.off(event, handler);
      socket.emit("leave:channel", channelId);
    };
  }, [socket, channelId]);
  const sendTyping = (userId: string, userName: string) => void socket?.emit("typing:start", { channelId, userId, userName });
  const stopTyping = (userId: string) => void socket?.emit("typing:stop", { channelId, userId });
  return { messages, typingUsers, sendTyping, stopTyping, isConnected };
}

export function usePresenceSocket(communityId: number) {
  const { socket, isConnected } = useSocket();
  const [onlineUsers, setOnlineUsers] = useState<string[]>([]);
  useEffect(() => {
    if (!socket || !isConnected) return;
    socket.on("presence:state", setOnlineUsers);
    socket.emit("join:community", communityId);
    return () => void socket.off("presence:state", setOnlineUsers);
  }, [socket, isConnected, communityId]);
  return { onlineUsers, isConnected };
}

export function useNotificationsSocket(_userId: string) {
  const { socket, isConnected } = useSocket();
  const [notifications, setNotifications] = useState<NotificationRow[]>([]);
  useEffect(() => {
    const hear = (row: NotificationRow) => setNotifications((rows) => [row, ...rows]);
    socket?.on("notification:new", hear);
    return () => void socket?.off("notification:new", hear);
  }, [socket]);
  return { notifications, isConnected };
}
