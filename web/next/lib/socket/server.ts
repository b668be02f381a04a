import type { Server } from "socket.io";
import type { MessageRow, NotificationRow } from "@/db";

declare global {
  var io: Server | undefined;
}

/** What server actions tell the browsers. */
export const socketEvents = {
  newMessage: (io: Server, channelId: number, message: MessageRow) => io.to(`channel:${channelId}`).emit("message:new", message),
  messageEdited: (io: Server, channelId: number, message: MessageRow) => io.to(`channel:${channelId}`).emit("message:edited", message),
  messageDeleted: (io: Server, channelId: number, messageId: number) => io.to(`channel:${channelId}`).emit("message:deleted", { messageId }),
  newNotification: (io: Server, userId: string, notification: NotificationRow) => io.to(`user:${userId}`).emit("notification:new", notification),
};
