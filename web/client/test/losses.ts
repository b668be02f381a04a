/** What goes wrong on the way to the server and back, if a test says so: what is to be logged, or the replies to that. */
export interface Losses {
  actions: boolean;
  replies: boolean;
}

/** The actions that count. */
export const logged = ["publish", "notification:read"];
