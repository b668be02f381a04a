/**
 * The rows of an application's own database as the hooks show them: with their fields beside the hook's own, and an
 * application's history in one list with what the log has.
 */

/** An item of a hook: its own fields, and those of the row that was published, whose fields of the same names are in `data` alone. */
export type With<Own, Row> = Own & Omit<Row, keyof Own>;

/** The id of a row, a channel or a user: databases have numbers, Bellhop texts. */
export type Id = string | number;

/** What React makes something of when a component is given all fields of an item. */
const REACT = ["key", "ref", "children", "dangerouslySetInnerHTML"];

/** The fields of what was published, without those that an item has itself; a text has none. */
export function fields(data: unknown, own: readonly string[]): Record<string, unknown> {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return {};
  return Object.fromEntries(Object.entries(data).filter(([name]) => !own.includes(name) && !REACT.includes(name)));
}

/** A text, or a number as one; undefined for all else. */
export function text(value: unknown): string | undefined {
  return typeof value === "number" ? String(value) : typeof value === "string" ? value : undefined;
}

/** When a row was made, in Unix milliseconds: by its `ts` or its `createdAt`; 0 if it does not say. */
export function timeOf({ ts, createdAt = ts }: Record<string, unknown>): number {
  const time = createdAt instanceof Date || typeof createdAt === "number" ? Number(createdAt) : Date.parse(String(createdAt));
  return Number.isNaN(time) ? 0 : time;
}

/**
 * Puts an application's own history before what a log has. Both are in order; what both have, by its id, is given once, as
 * `both` says. A row that the log lacks keeps its place among those that it has.
 */
export function merge<T extends { readonly id: string }>(history: readonly T[], log: readonly T[], both: (row: T, logged: T) => T): T[] {
  const place = new Map(history.map(({ id }, i) => [id, i]));
  const out: T[] = [];
  let at = 0;
  const upTo = (end: number) => {
    while (at < end) out.push(history[at++]!);
  };
  let shared = log.filter(({ id }) => place.has(id)).length;
  for (const logged of log) {
    if (shared === 0) upTo(history.length); // whatever the log has after this is newer
    const i = place.get(logged.id);
    if (i === undefined) {
      out.push(logged);
      continue;
    }
    shared--;
    upTo(i);
    if (at > i) continue; // the log has it at another place than the history, and it is there already
    out.push(both(history[at++]!, logged));
  }
  upTo(history.length);
  return out;
}
