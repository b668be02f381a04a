import { useRoom } from "@bellhop/client/react";
import type { Joined } from "@bellhop/client";
import { useEffect, useState } from "react";
import { count } from "./parts.js";

/** How the return of a connection went, in all rooms that are looked at. */
export interface Resume {
  at: number;
  /** How often the connection has come back. */
  times: number;
  /** By label, what each room had missed; null: more than its log holds, so it was loaded again. */
  missed: readonly (readonly [label: string, missed: number | null])[];
}

interface Watched {
  name: string;
  label: string;
}

/** Watches three rooms, and says how they came back after the connection was lost. */
export function useResume(a: Watched, b: Watched, c: Watched): Resume | null {
  const [resume, setResume] = useState<Resume | null>(null);
  const rooms = [useRoom(a.name).room, useRoom(b.name).room, useRoom(c.name).room];
  const labels = [a.label, b.label, c.label];
  useEffect(() => {
    const back = new Map<string, Joined>();
    const off = rooms.map((room) =>
      room?.onJoined((joined) => {
        if (joined.first) return;
        back.set(room.name, joined);
        if (back.size < rooms.length) return;
        const missed = rooms.map((each, i) => {
          const { recovered, missed } = back.get(each!.name)!;
          return [labels[i]!, recovered ? missed : null] as const;
        });
        back.clear();
        setResume((last) => ({ at: Date.now(), times: (last?.times ?? 0) + 1, missed }));
      }),
    );
    return () => off.forEach((each) => each?.());
    // The labels follow from the rooms.
  }, rooms);
  return resume;
}

/** Says in a sentence what came back, and where. */
export function resumed(missed: number | null, where = ""): string {
  if (missed === null) return "Reconnected. More was missed than the log holds, so the history was loaded again.";
  if (missed === 0) return "Reconnected: nothing was missed.";
  return `Reconnected: ${count(missed, "missed event")} came back${where && ` (${where})`}, nothing lost.`;
}
