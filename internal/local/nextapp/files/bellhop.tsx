"use client";
import { BellhopProvider, useSocket } from "@bellhop/client/react";
import { useEffect, type ReactNode } from "react";

async function token(): Promise<string> {
  const response = await fetch("/api/bellhop/token");
  if (!response.ok) throw new Error(`no token: ${response.status}`);
  return response.text();
}

export function SocketProvider({ user, children }: { user?: string | null; children: ReactNode }) {
  return (
    <BellhopProvider url={process.env.NEXT_PUBLIC_BELLHOP_URL!} token={token} user={user}>
      <Log />
      {children}
    </BellhopProvider>
  );
}

function Log() {
  const { isConnected, userId } = useSocket();
  useEffect(() => {
    if (isConnected) console.log("Socket connected:", userId);
  }, [isConnected, userId]);
  return null;
}
