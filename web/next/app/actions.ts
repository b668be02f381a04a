"use server";
import { auth } from "@/auth";
import { db } from "@/db";
import { socketEvents } from "@/lib/socket/server";

async function me() {
  const session = await auth();
  if (!session) throw new Error("log in first");
  return session.user;
}

export async function sendMessage(channelId: number, content: string) {
  const user = await me();
  const message = db.message.create({ channelId, content, userId: user.id, userName: user.name });
  if (global.io) {
    socketEvents.newMessage(global.io, channelId, message);
  }
  const mentioned = /@(\w+)/.exec(content)?.[1];
  if (mentioned) {
    const notification = db.notification.create({ userId: mentioned, title: `${user.name} mentioned you`, href: `/channels/${channelId}` });
    if (global.io) {
      socketEvents.newNotification(global.io, mentioned, notification);
    }
  }
  return message;
}

export async function editMessage(channelId: number, id: number, content: string) {
  const message = db.message.update(id, (await me()).id, content);
  if (message && global.io) {
    socketEvents.messageEdited(global.io, channelId, message);
  }
}

export async function deleteMessage(channelId: number, id: number) {
  const deleted = db.message.delete(id, (await me()).id);
  if (deleted && global.io) {
    socketEvents.messageDeleted(global.io, channelId, id);
  }
}
