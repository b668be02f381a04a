import { BellhopError } from "../index.js";
import { newId } from "../requests.js";
import type { Message, PublishResult, RoomEvent } from "../types.js";
import { LogStore } from "./log.js";
import { shown, type SocketError } from "./room.js";
import { fields, merge, text, timeOf, type Id, type With } from "./rows.js";
import type { Session } from "./session.js";
import { TypingSignal, Typists, type TypingUser } from "./typing.js";

/** One message of a channel: what is known of it, and the fields of the row that was published. */
export type ChatMessage<Row = unknown> = With<MessageFields, Row>;

/** What is known of each message. */
export interface MessageFields {
  /**
   * As it was published, a number as its text, and with the author behind it if a message of another author already has
   * that id here.
   */
  readonly id: string;
  /** Its place in the room's log; undefined until it is logged. */
  readonly seq?: number;
  readonly content: string;
  /** Empty if a program has not said whom the message is from. */
  readonly userId: string;
  readonly userName?: string;
  /** Unix time in milliseconds. */
  readonly ts: number;
  /** pending: not logged yet. failed: given up; `retry` sends it again. */
  readonly status: "pending" | "sent" | "failed";
  /** Why it failed. */
  readonly error?: SocketError;
  /** It failed for what it is, such as too large, so that `retry` cannot succeed. It can only be dropped. */
  readonly isFinal?: true;
  /** This user has deleted it, and the server has not answered yet. After that it is gone. */
  readonly deleted?: true;
  /** All that was published, `content` among it. */
  readonly data: Message;
}

/** A channel as of now. */
export interface ChatState<Row = unknown> {
  /** In the order of the log; pending and failed ones at the end. */
  readonly messages: readonly ChatMessage<Row>[];
  /** Who else is typing. */
  readonly typingUsers: readonly TypingUser[];
  /** The channel is joined. */
  readonly isConnected: boolean;
  /** The newest messages are not there yet. */
  readonly isLoading: boolean;
  /** False after a reconnect that could not bring everything that was missed; the newest messages were loaded again. */
  readonly recovered: boolean;
  /** There are older messages for `loadMore`. */
  readonly hasMore: boolean;
  /** Why the channel cannot be joined, or what has failed last. Failures to send are in the message. */
  readonly error: SocketError | null;
}

const initial: ChatState = {
  messages: [], typingUsers: [], isConnected: false, isLoading: true, recovered: true, hasMore: false, error: null,
};

/** The messages of a channel, and who is typing in it. */
export class ChatStore extends LogStore<MessageFields, ChatState> {
  static readonly key = (channelId: string): string => `chat ${channelId}`;

  readonly #sending = new Map<string, Promise<string>>();
  /** Ids, in case the page that has the message was read before it was deleted. */
  readonly #deleted = new Set<string>();
  /** Whose message was deleted, by its id; empty if the log did not say, since it no longer had it. */
  readonly #deletedOf = new Map<string, Set<string>>();
  /** What changed messages, by their id, in the order of the log; by nobody is by a program. */
  readonly #edits = new Map<string, readonly { seq: number; by: string; data: object }[]>();
  /** Messages whose id is that of another one, by the id that they have here. */
  readonly #namesakes = new Map<string, { id: string; userId: string }>();
  readonly #typing = new TypingSignal((event) => this.room?.signal(event) ?? false);
  readonly #typists = new Typists(() => this.changed());
  #userName: string | undefined;

  constructor(session: Session | null, channelId: string) {
    super(session, `channel:${channelId}`, ChatStore.key(channelId), initial, { page: 50, pages: 25, enough: 20, keep: 1_000 });
  }

  /**
   * Publishes a text, or an object with whatever the application needs beside `content`. Messages go out in the order of
   * the calls. Resolves to the message's id when it is logged; a failure shows in the message too.
   */
  readonly sendMessage = (content: string | object): Promise<string> => {
    if (!this.room) return shown(Promise.reject(noChannel()));
    const id = newId();
    const data: Message = typeof content === "string" ? { content } : { content: "", ...content };
    this.put(id, {
      ...fields(data, OWN), id, content: contentOf(data), userId: this.#userId ?? "", ts: Date.now(), status: "pending", data,
      ...(this.#userName !== undefined && { userName: this.#userName }),
    });
    this.#typing.sent();
    const sent = this.#send(id, data);
    this.flush();
    return sent;
  };

  /** Sends a failed message again, under the same id: should it have been logged after all, it is not logged twice. */
  readonly retry = (of: Id): Promise<string> => {
    const id = String(of);
    const message = this.item(id);
    if (!message) return shown(Promise.reject(new BellhopError("bad_request", `There is no message ${id}.`)));
    if (message.status !== "failed") return this.#sending.get(id) ?? Promise.resolve(id);
    if (message.isFinal) return shown(Promise.reject(message.error as SocketError));
    const { error: _, ...rest } = message;
    this.put(id, { ...rest, status: "pending" });
    const sent = this.#send(id, message.data);
    this.flush();
    return sent;
  };

  /** Deletes a message for everybody, if this user may; one that was never sent is just dropped. */
  readonly deleteMessage = (id: Id): Promise<void> => shown(this.#delete(String(id)));

  /** For each key: tells others that this user is typing, at most every 10 s, until 3 s after the last call. */
  readonly sendTyping = (..._ignored: unknown[]): void => {
    if (this.room) this.#typing.touch();
  };

  readonly stopTyping = (..._ignored: unknown[]): void => this.#typing.stop();

  /** The messages of a state with an application's own rows among them: what was deleted or edited since, is. */
  withHistory<Row extends object>(rows: readonly Row[], messages: readonly MessageFields[]): readonly ChatMessage<Row>[] {
    if (rows.length === 0) return messages as readonly ChatMessage<Row>[];
    const history = rows.map((row) => this.#edited(rowMessage(row))).filter((row) => !this.#isGone(row));
    const authors = new Map(history.map(({ id, userId }) => [id, userId]));
    const logged = messages.map((message) => {
      const author = authors.get(message.id);
      return author && message.userId && author !== message.userId ? { ...message, id: this.#namesake(message.id, message.userId) } : message;
    });
    return merge(history, logged, (row, { seq, ts, deleted }) => ({
      ...row, ts, ...(seq !== undefined && { seq }), ...(deleted && { deleted }),
    })) as readonly MessageFields[] as readonly ChatMessage<Row>[];
  }

  protected override hear(event: RoomEvent): void {
    const { from, data } = event;
    if (event.event === "user:typing" && from && from.userId !== this.#userId) {
      this.#typists.add(from, (data as { until?: number } | null)?.until ?? 0);
    }
    if (from && (event.event === "user:stopped-typing" || event.event === "message:new")) this.#typists.remove(from.userId);
    super.hear(event);
  }

  protected override read({ event, seq, id, ts, from, data }: RoomEvent): void {
    switch (event) {
      case "message:new": {
        if (from && from.userId === this.#userId) this.#userName = from.name;
        if (id === undefined || data === null || data === undefined || this.#isDeleted(id, seq)) return;
        const message = { ...fields(data, OWN), ...messageOf(data as Message, from), ts: ts ?? Date.now(), status: "sent" as const };
        const key = this.#keyOf(id, message.userId);
        const deleted = this.item(key)?.deleted && { deleted: true as const };
        this.put(key, this.#edited({ ...message, id: key, ...(seq !== undefined && { seq }), ...deleted }), seq ?? Infinity);
        break;
      }
      case "message:edited":
        this.#edit(data, seq ?? 0, from?.userId ?? "");
        break;
      case "message:deleted":
        this.#forget((data ?? {}) as Deleted);
    }
  }

  protected override began(): void {
    for (const [id, edits] of this.#edits) this.#edits.set(id, edits.map((edit) => ({ ...edit, seq: 0 }))); // places of the log that was
  }

  protected override wanted({ event, data }: RoomEvent): boolean {
    return event === "message:new" && data !== null && data !== undefined; // not the shell of a deleted one
  }

  protected override snapshot(): ChatState {
    const messages = this.items();
    return {
      messages, typingUsers: this.#typists.users, isConnected: this.isConnected, isLoading: this.isLoading,
      recovered: this.recovered, hasMore: this.hasMore, error: this.error,
    };
  }

  protected override stop(): void {
    this.#typing.end();
    this.#typists.clear();
    super.stop();
  }

  protected override async settled(): Promise<void> {
    while (this.#sending.size > 0) await Promise.allSettled(this.#sending.values());
  }

  protected override get precious(): boolean {
    return this.items().some(({ status }) => status !== "sent");
  }

  get #userId(): string | null {
    return this.session?.client?.userId ?? null;
  }

  #send(id: string, data: Message): Promise<string> {
    const sent = this.#publish(id, data).finally(() => this.#sending.delete(id));
    this.#sending.set(id, sent);
    return shown(sent);
  }

  async #publish(id: string, data: Message): Promise<string> {
    try {
      if (!this.room) throw noChannel();
      this.#confirm(id, await this.room.publish("message:new", data, { id }));
    } catch (err) {
      const message = this.item(id);
      if (message?.status === "sent") return id; // just the answer was lost
      const { code } = err as SocketError;
      const isFinal = code === "too_large" || code === "bad_request" || code === "conflict";
      if (message) this.put(id, { ...message, status: "failed", error: err as SocketError, ...(isFinal && { isFinal }) });
      throw err;
    }
    return id;
  }

  /** The answer and the event itself come in either order. */
  #confirm(id: string, { seq, ts }: PublishResult): void {
    const message = this.item(id);
    if (message && message.status !== "sent") this.put(id, { ...message, seq, ts, status: "sent" }, seq);
  }

  async #delete(id: string): Promise<void> {
    const message = this.item(id);
    if (message?.status === "failed") return this.#discard(id);
    if (message) this.#mark(id, true);
    this.flush();
    try {
      await this.#sending.get(id);
    } catch {
      return this.#discard(id);
    }
    try {
      const { userId = "", id: messageId = id } = this.#namesakes.get(id) ?? {};
      await this.act((room) => room.publish("message:deleted", { messageId, ...(userId !== "" && { userId }) }));
      this.#forget({ messageId, seq: this.item(id)?.seq });
    } catch (err) {
      this.#mark(id, false);
      throw err;
    }
  }

  #mark(id: string, mark: boolean): void {
    const message = this.item(id);
    if (!message) return;
    const { deleted: _, ...rest } = message;
    this.put(id, mark ? { ...rest, deleted: true } : rest);
  }

  #discard(id: string): void {
    this.drop(id);
    this.flush();
  }

  /** Who takes the id of somebody's message does not take its place. */
  #keyOf(id: string, userId: string): string {
    const there = this.item(id);
    return !there || there.userId === userId ? id : this.#namesake(id, userId);
  }

  #namesake(id: string, userId: string): string {
    const key = `${id} ${userId}`;
    this.#namesakes.set(key, { id, userId });
    return key;
  }

  #isDeleted(id: string, seq: number | undefined): boolean {
    return this.#deleted.has(deletion(id, seq)) || this.#deleted.has(deletion(id, undefined));
  }

  /** An application's row is gone, unless what was deleted is another author's with its id. */
  #isGone({ id, userId }: MessageFields): boolean {
    const authors = this.#deletedOf.get(id);
    return authors !== undefined && (authors.has("") || authors.has(userId));
  }

  /** The log is read in pages from its end, so what comes later need not be newer. */
  #edit(data: unknown, seq: number, by: string): void {
    const id = text((data as { id?: unknown } | null)?.id);
    if (id === undefined) return;
    const others = (this.#edits.get(id) ?? []).filter((edit) => edit.seq !== seq || seq === 0);
    this.#edits.set(id, [...others, { seq, by, data: data as object }].sort((a, b) => a.seq - b.seq));
    for (const message of this.items()) if (this.#idOf(message.id) === id) this.put(message.id, this.#edited(message));
    this.relist();
  }

  /** A message as a program or its author has changed it: whoever else says that they change it does not. */
  #edited(message: MessageFields): MessageFields {
    const edits = this.#edits.get(this.#idOf(message.id)) ?? [];
    return edits.filter(({ by }) => by === "" || by === message.userId).reduce((before, edit) => {
      const data = { ...before.data, ...edit.data };
      return { ...before, ...fields(edit.data, OWN), content: contentOf(data), data };
    }, message);
  }

  #idOf(key: string): string {
    return this.#namesakes.get(key)?.id ?? key;
  }

  #forget({ messageId, seq, userId = "" }: Deleted): void {
    if (messageId === undefined) return;
    this.#deletedOf.set(messageId, (this.#deletedOf.get(messageId) ?? new Set()).add(userId));
    this.relist();
    this.#deleted.add(deletion(messageId, seq));
    const shown = seq === undefined ? undefined : this.items().find((message) => message.seq === seq);
    if (shown) this.drop(shown.id);
    else if (seq === undefined) this.drop(messageId);
  }
}

/** The data of message:deleted; seq and author are those of the message, as far as the log reaches. */
type Deleted = { messageId?: string; seq?: number | undefined; userId?: string | undefined };

const deletion = (id: string, seq: number | undefined) => `${id} ${seq}`;

const OWN = ["id", "seq", "content", "userId", "userName", "ts", "status", "error", "isFinal", "deleted", "data"];

/** What a program publishes for somebody without saying whom it is from may say so in the data. Clients always have a `from`. */
function messageOf(data: Message, from: RoomEvent["from"]): Pick<MessageFields, "content" | "userId" | "userName" | "data"> {
  const { userId, name } = from ?? { userId: text(data.userId), name: text(data.userName) };
  return { content: contentOf(data), userId: userId ?? "", ...(name && { userName: name }), data };
}

function rowMessage(row: object): MessageFields {
  const data = row as Message;
  return { ...fields(data, OWN), ...messageOf(data, undefined), id: text(data.id) ?? "", ts: timeOf(data), status: "sent" };
}

const noChannel = () => new BellhopError("disconnected", "There is no channel to send this to.");
const contentOf = (data: unknown) => text(data) ?? text((data as Message).content) ?? "";
