/** Where a room stands on the present connection. */
export type State =
  /** Not a member, as far as is known: there is no connection, or nobody wants to be one. */
  | "outside"
  /** A join was sent and not yet answered to the end. */
  | "joining"
  | "joined"
  /** Joined, and a second join was sent for what is missing. */
  | "filling"
  /** A leave was sent and not yet answered. */
  | "leaving"
  /** A join or a leave failed in a way that may be over later. The server may have done it all the same. */
  | "pausing"
  /** The server will not have it; there is an error that says why. */
  | "refused"
  /** The server has ended the room; there is an error that says so. */
  | "closed";

/** Why a room moves from one state to another. */
export type Reason =
  /** Somebody holds a handle, and there is a connection. */
  | "wanted"
  /** Nobody holds a handle any more. */
  | "unwanted"
  /** Somebody takes a handle, who may have better luck than those before. */
  | "entered"
  /** The server has done what was asked. */
  | "answered"
  /** The server has answered, or the pause is over, and by then nobody holds a handle. */
  | "outlived"
  /** It was not even sent, since nobody held a handle when its turn came. */
  | "spared"
  /** What was asked failed, and may work later. */
  | "failed"
  /** The pause is over. */
  | "resumed"
  /** The server has refused what was asked. */
  | "refused"
  /** Events are missing, and do not come by themselves. */
  | "missing"
  /** The server has refused an action, since this connection is no member. */
  | "expelled"
  /** The server says that the room was closed. */
  | "closed"
  /** The connection is gone, and all memberships with it. */
  | "disconnected";

// The server runs the frames of one connection at the same time, so that a join and a leave that are both under way could
// end either way. So out of "joining", "filling" and "leaving" lead only an answer, and the end of the room or connection.
const transitions: Record<State, Partial<Record<Reason, State>>> = {
  outside: { wanted: "joining" },
  joining: { answered: "joined", outlived: "leaving", spared: "outside", failed: "pausing", refused: "refused", closed: "closed", disconnected: "outside" },
  joined: { unwanted: "leaving", missing: "filling", expelled: "joining", closed: "closed", disconnected: "outside" },
  filling: { answered: "joined", outlived: "leaving", spared: "leaving", failed: "joined", refused: "refused", closed: "closed", disconnected: "outside" },
  leaving: { answered: "outside", failed: "pausing", refused: "outside", disconnected: "outside" },
  pausing: { resumed: "joining", outlived: "leaving", closed: "closed", disconnected: "outside" },
  refused: { entered: "outside", unwanted: "outside", disconnected: "outside" }, // another token may allow more
  closed: { entered: "outside", unwanted: "outside" },
};

/** The state that a reason leads to; undefined where it leads nowhere. */
export function next(state: State, reason: Reason): State | undefined {
  return transitions[state][reason];
}
