import type { Notification, RoomEvent } from "../types.js";
import { LogStore } from "./log.js";
import { shown, type SocketError } from "./room.js";
import type { Session } from "./session.js";

/** One notification of a user. */
export interface NotificationItem {
  readonly id: string;
  readonly type: string;
  readonly title: string;
  readonly body: string;
  /** The same on every device of the user, and after a reload. */
  readonly isRead: boolean;
  /** Unix time in milliseconds. */
  readonly ts: number;
  /** All that was sent, `type`, `title` and `body` among it. */
  readonly data: Notification;
}

/** The notifications of a user as of now. */
export interface NotificationsState {
  /** Newest first, at most 200. */
  readonly notifications: readonly NotificationItem[];
  /** How many of them are not read. */
  readonly unread: number;
  readonly isConnected: boolean;
  readonly isLoading: boolean;
  /** Why the user's room cannot be joined, or what has failed last. */
  readonly error: SocketError | null;
}

const initial: NotificationsState = { notifications: [], unread: 0, isConnected: false, isLoading: true, error: null };
const READS = 1_000;

/** The notifications in the log of the user's own room, where their reading is logged too. */
export class NotificationsStore extends LogStore<NotificationItem, NotificationsState> {
  static readonly key = (userId: string): string => `notifications ${userId}`;

  /** Ids: a reading may be heard before the page with the notification comes. */
  readonly #read = new Set<string>();
  #from: readonly NotificationItem[] = [];
  #shown: Pick<NotificationsState, "notifications" | "unread"> = initial;

  constructor(session: Session | null, userId: string) {
    super(session, `user:${userId}`, NotificationsStore.key(userId), initial, { page: 200, pages: 5, enough: 50, keep: 200 });
  }

  /** Marks a notification as read, on all devices. It shows at once, and is undone if the server refuses. */
  readonly markRead = (id: string): Promise<void> => this.#mark([id]);

  /** Marks all as read. */
  readonly markAllRead = (): Promise<void> => this.#mark(this.items().filter(({ isRead }) => !isRead).map(({ id }) => id).reverse());

  protected override read({ event, seq, id, ts, data }: RoomEvent): void {
    if (event === "notification:new" && id !== undefined) {
      const { type, title, body } = (data ?? {}) as Notification;
      const isRead = this.#read.has(id) || (this.item(id)?.isRead ?? false);
      const item = { id, type: type ?? "", title: title ?? "", body: body ?? "", isRead, ts: ts ?? Date.now(), data: (data ?? {}) as Notification };
      this.put(id, item, seq ?? Infinity);
    } else if (event === "notification:read") {
      const read = (data as { notificationId?: string } | null)?.notificationId;
      if (read !== undefined) this.#reading(read);
    }
  }

  protected override wanted({ event }: RoomEvent): boolean {
    return event === "notification:new";
  }

  protected override snapshot(): NotificationsState {
    const items = this.items();
    if (items !== this.#from) {
      this.#from = items;
      this.#shown = { notifications: [...items].reverse(), unread: items.filter(({ isRead }) => !isRead).length };
    }
    return { ...this.#shown, isConnected: this.isConnected, isLoading: this.isLoading, error: this.error };
  }

  /** One after the other, as the server takes them. */
  #mark(ids: string[]): Promise<void> {
    for (const id of ids) this.#set(id, true);
    this.flush();
    return shown(
      this.act(async () => {
        try {
          for (const id of ids) {
            if (this.#read.has(id)) continue;
            await this.session?.client?.readNotification(id);
            this.#reading(id);
          }
        } catch (err) {
          for (const id of ids) if (!this.#read.has(id)) this.#set(id, false);
          throw err;
        }
      }),
    );
  }

  #reading(id: string): void {
    this.#read.add(id);
    for (const oldest of this.#read) if (this.#read.size > READS) this.#read.delete(oldest);
    this.#set(id, true);
  }

  #set(id: string, isRead: boolean): void {
    const item = this.item(id);
    if (item && item.isRead !== isRead) this.put(id, { ...item, isRead });
  }
}
