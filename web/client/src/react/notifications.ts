import type { Joined } from "../api.js";
import type { Notification, RoomEvent } from "../types.js";
import { LogStore, PAGE, type Earlier } from "./log.js";
import { shown, type SocketError } from "./room.js";
import { fields, text, type Id, type With } from "./rows.js";
import type { Session } from "./session.js";

/** One notification of a user: what is known of it, and the fields of the row that was sent. */
export type NotificationItem<Row = unknown> = With<NotificationFields, Row>;

/** What is known of each notification. */
export interface NotificationFields {
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
export interface NotificationsState<Row = unknown> {
  /** Newest first: the last 200, and what was loaded beside. */
  readonly notifications: readonly NotificationItem<Row>[];
  /** How many are not read, of all that the log holds, loaded or not. It grows while they are counted, after a page was loaded. */
  readonly unread: number;
  /** There are older notifications for `loadMore`. */
  readonly hasMore: boolean;
  readonly isConnected: boolean;
  readonly isLoading: boolean;
  /** Why the user's room cannot be joined, or what has failed last. */
  readonly error: SocketError | null;
}

const initial: NotificationsState = { notifications: [], unread: 0, hasMore: false, isConnected: false, isLoading: true, error: null };

const OWN = ["id", "type", "title", "body", "isRead", "ts", "data"];

/** The reading of everything up to a seq is logged as that of a notification with this before the seq for an id. */
const UNTIL = "until:";
/** Pages that are counted at most: of events of all kinds. */
const COUNTED = 50;

/** The notifications in the log of the user's own room, where their reading is logged too. */
export class NotificationsStore extends LogStore<NotificationFields, NotificationsState> {
  static readonly key = (userId: string): string => `notifications ${userId}`;

  /** What is not read, with its seq, of all that was counted. */
  readonly #unread = new Map<string, number>();
  /** Ids: a reading is counted before its notification, since the log is read from its end. */
  readonly #read = new Set<string>();
  /** Up to this seq all is read. */
  #until = 0;
  /** What this user has just read, and the server has not answered yet. */
  readonly #marked = new Set<string>();
  #uncounted: (Earlier & { current: () => boolean }) | null = null;
  #counting = false;
  #from: readonly NotificationFields[] = [];
  #shown: readonly NotificationFields[] = [];

  constructor(session: Session | null, userId: string) {
    super(session, `user:${userId}`, NotificationsStore.key(userId), initial, { page: PAGE, pages: 25, enough: 50, keep: 200 });
  }

  /** Marks a notification as read, on all devices. It shows at once, and is undone if the server refuses. */
  readonly markRead = (of: Id): Promise<void> => {
    const id = String(of);
    return this.#isRead(id, this.seqOf(id)) ? Promise.resolve() : this.#mark(id, [id]);
  };

  /** Marks all as read that there are now, loaded or not. */
  readonly markAllRead = (): Promise<void> => {
    const until = Math.max(0, ...this.#unread.values());
    return until > 0 ? this.#mark(UNTIL + until, [...this.#unread.keys()]) : Promise.resolve();
  };

  protected override began(): void {
    this.#unread.clear();
    this.#read.clear();
    this.#until = 0;
    this.#uncounted = null;
  }

  protected override loaded(earlier: Earlier, current: () => boolean): void {
    this.#uncounted = { ...earlier, current };
    void this.#countOn();
  }

  protected override joined(joined: Joined): void {
    super.joined(joined);
    void this.#countOn(); // where it was given up
  }

  protected override read(event: RoomEvent): void {
    this.#count(event);
    const { event: name, seq, id, ts, data } = event;
    if (name === "notification:read") return this.#refresh();
    if (name !== "notification:new" || id === undefined) return;
    const { type, title, body } = (data ?? {}) as Notification;
    this.put(id, {
      ...fields(data, OWN), id, type: text(type) ?? "", title: text(title) ?? "", body: text(body) ?? "", isRead: this.#isRead(id, seq ?? Infinity), ts: ts ?? Date.now(),
      data: (data ?? {}) as Notification,
    }, seq ?? Infinity);
  }

  protected override wanted({ event }: RoomEvent): boolean {
    return event === "notification:new";
  }

  protected override snapshot(): NotificationsState {
    const items = this.items();
    if (items !== this.#from) {
      this.#from = items;
      this.#shown = [...items].reverse();
    }
    const unread = [...this.#unread.keys()].filter((id) => !this.#marked.has(id)).length;
    return { notifications: this.#shown, unread, hasMore: this.hasMore, isConnected: this.isConnected, isLoading: this.isLoading, error: this.error };
  }

  #count({ event, seq, id, data }: RoomEvent): void {
    if (event === "notification:new" && id !== undefined) {
      if (!this.#read.has(id) && (seq ?? Infinity) > this.#until) this.#unread.set(id, seq ?? Infinity);
    } else if (event === "notification:read") {
      this.#reading((data as { notificationId?: string } | null)?.notificationId ?? "");
    }
  }

  #reading(what: string): void {
    const until = what.startsWith(UNTIL) ? Number(what.slice(UNTIL.length)) : NaN;
    if (until > this.#until) {
      this.#until = until;
      for (const [id, seq] of this.#unread) if (seq <= until) this.#unread.delete(id);
    } else if (Number.isNaN(until)) {
      this.#read.add(what);
      this.#unread.delete(what);
    }
  }

  /** Counts what was not loaded, back to the beginning, or to where everything is read. */
  async #countOn(): Promise<void> {
    if (this.#counting) return;
    this.#counting = true;
    try {
      for (let pages = 0; pages < COUNTED; pages++) {
        const rest = this.#uncounted;
        if (!rest || !this.room || !rest.current() || !rest.more || rest.before === undefined || rest.before <= this.#until) break;
        const part = await this.room.history({ limit: PAGE, before: rest.before });
        if (rest !== this.#uncounted) continue; // another loading has begun
        if (part.epoch !== rest.epoch) break; // so will it soon
        for (const event of part.events) this.#count(event);
        this.#uncounted = { ...rest, before: part.events[0]?.seq, more: part.more };
        this.changed();
      }
    } catch {
      // the next join goes on, and until then there are at least so many
    }
    this.#counting = false;
  }

  #mark(what: string, ids: string[]): Promise<void> {
    return shown(
      this.act(async () => {
        for (const id of ids) this.#marked.add(id);
        this.#refresh();
        this.flush();
        try {
          await this.session?.client?.readNotification(what);
          this.#reading(what);
        } finally {
          for (const id of ids) this.#marked.delete(id);
          this.#refresh();
        }
      }),
    );
  }

  #isRead(id: string, seq: number): boolean {
    return this.#read.has(id) || this.#marked.has(id) || seq <= this.#until;
  }

  #refresh(): void {
    for (const item of this.items()) {
      const isRead = this.#isRead(item.id, this.seqOf(item.id));
      if (item.isRead !== isRead) this.put(item.id, { ...item, isRead });
    }
    this.changed();
  }
}
