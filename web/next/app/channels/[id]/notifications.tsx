"use client";
import { useNotificationsSocket } from "@/lib/socket/client";

export function Notifications({ userId }: { userId: string }) {
  const { notifications } = useNotificationsSocket(userId);
  return (
    <nav aria-label="Notifications">
      {notifications.map(({ id, title, href }) => (
        <a key={id} href={href}>{title}</a>
      ))}
    </nav>
  );
}
