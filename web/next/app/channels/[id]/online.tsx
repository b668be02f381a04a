"use client";
import { usePresenceSocket } from "@/lib/socket/client";

export function Online({ communityId }: { communityId: number }) {
  const { onlineUsers } = usePresenceSocket(communityId);
  return <p aria-label="Online">{[...onlineUsers].sort().join(" ")}</p>;
}
