import type { PresenceData } from "../register.js";
import type { Occupant, PresenceResult } from "../types.js";
import { RoomStore, type SocketError } from "./room.js";
import type { Session } from "./session.js";

/** A community as of now. */
export interface PresenceState {
  /** The ids of all who are present, whatever their status. */
  readonly onlineUsers: readonly string[];
  /** The same with their names, statuses and data, by user id. */
  readonly users: ReadonlyMap<string, Occupant<PresenceData<"community">>>;
  /** The community is joined. While it is not, the users are those who were there last. */
  readonly isConnected: boolean;
  /** Why the community cannot be joined, or what has failed last. */
  readonly error: SocketError | null;
}

const nobody: ReadonlyMap<string, Occupant> = new Map();

/** Who is present in a community. Being in it makes this user present, too. */
export class PresenceStore extends RoomStore<PresenceState> {
  static readonly key = (communityId: string): string => `presence ${communityId}`;

  #users = nobody;
  #onlineUsers: readonly string[] = [];

  constructor(session: Session | null, communityId: string) {
    const initial = { onlineUsers: [], users: nobody, isConnected: false, error: null };
    super(session, `community:${communityId}`, PresenceStore.key(communityId), initial);
  }

  /** Sets this user's status in the community: "online", "away", "busy" or any string of at most 32 bytes. */
  readonly setStatus = (status: string, data?: PresenceData<"community">): Promise<PresenceResult> => this.act((room) => room.presence(status, data));

  protected override snapshot(): PresenceState {
    const users = this.room?.present ?? this.#users;
    if (users !== this.#users) {
      this.#users = users;
      this.#onlineUsers = [...users.keys()];
    }
    return { onlineUsers: this.#onlineUsers, users, isConnected: this.isConnected, error: this.error };
  }
}
