import { afterEach, beforeEach, expect, vi } from "vitest";
import { WebSocket } from "ws";
import { closePages } from "./page.js";

// Of happy-dom's own WebSocket nothing is wanted: connections are to be real.
Object.assign(globalThis, { WebSocket });

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
});

// React complains in the console: of setting state while rendering, of snapshots that are never the same, and the like.
afterEach(async () => {
  await closePages();
  const complaints = [...vi.mocked(console.error).mock.calls, ...vi.mocked(console.warn).mock.calls];
  vi.restoreAllMocks();
  expect(complaints.map((words) => words.map(String).join(" "))).toEqual([]);
});

/** Forgets what was said of an error that a test has made on purpose. */
export function forgive(): void {
  vi.mocked(console.error).mockClear();
  vi.mocked(console.warn).mockClear();
}
