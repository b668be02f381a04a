/** A row of the table of messages. */
export interface MessageRow {
  id: number;
  channelId: number;
  content: string;
  userId: string;
  userName: string;
  createdAt: Date;
  editedAt: Date | null;
}

/** A row of the table of notifications. */
export interface NotificationRow {
  id: number;
  userId: string;
  title: string;
  href: string;
}

interface Tables {
  messages: MessageRow[];
  notifications: NotificationRow[];
}

// One for the process: pages and server actions are bundled apart.
const tables = ((globalThis as { tables?: Tables }).tables ??= {
  messages: [{
    id: 1, channelId: 1, content: "From before", userId: "zoe", userName: "Zoe", createdAt: new Date("2026-01-02T03:04:05Z"), editedAt: null,
  }],
  notifications: [],
});

export const db = {
  message: {
    list: (channelId: number) => tables.messages.filter((row) => row.channelId === channelId),
    create(values: Pick<MessageRow, "channelId" | "content" | "userId" | "userName">): MessageRow {
      const row = { id: tables.messages.length + 1, createdAt: new Date(), editedAt: null, ...values };
      tables.messages.push(row);
      return row;
    },
    update(id: number, userId: string, content: string): MessageRow | undefined {
      const row = tables.messages.find((one) => one.id === id && one.userId === userId);
      return row && Object.assign(row, { content, editedAt: new Date() });
    },
    delete(id: number, userId: string): boolean {
      const row = tables.messages.find((one) => one.id === id && one.userId === userId);
      if (row) row.channelId = 0;
      return row !== undefined;
    },
  },
  notification: {
    create(values: Omit<NotificationRow, "id">): NotificationRow {
      const row = { id: tables.notifications.length + 1, ...values };
      tables.notifications.push(row);
      return row;
    },
  },
};
