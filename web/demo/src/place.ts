/** Where a window is: all of it is in the address, so that a reload or a copied link leads back. */
export interface Place {
  channel: string;
  community: string;
  /** "socket.io": the hooks work over a socket of socket.io-client. */
  over?: string;
}

/** What may be in the address of the page. */
export interface Query {
  user?: string;
  channel?: string;
  community?: string;
  /** What the page connects with, as in a place. */
  over?: string;
  /** Two or more names with commas: as many windows in one. */
  side?: string;
}

/** Who is logged in. */
export interface Me {
  userId: string;
  name: string;
}

/** Makes an id of what somebody has typed: "Carla Gómez" is carla-gomez. Empty if nothing is left. */
export function slug(name: string): string {
  return name.normalize("NFKD").toLowerCase().replace(/\p{M}/gu, "").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
}

/** Makes a name of an id. */
export function capitalised(name: string): string {
  return name.trim().replace(/(^|\s)\p{Ll}/gu, (letter) => letter.toUpperCase());
}

/** The address of a window of this page. */
export function address(user: string, place: Place): string {
  return `?${new URLSearchParams({ user, ...place })}`;
}

/** Somebody else to be, for trying both ends. */
export function other({ userId }: Me): string {
  return userId === "bob" ? "ana" : "bob";
}
