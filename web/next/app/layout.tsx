import type { ReactNode } from "react";
import { auth } from "@/auth";
import { SocketProvider } from "@/lib/socket/client";

export const metadata = { title: "Chat", icons: { icon: "data:," } };

export default async function Layout({ children }: { children: ReactNode }) {
  const session = await auth();
  return (
    <html lang="en">
      <body>
        <SocketProvider user={session?.user.id ?? null}>{children}</SocketProvider>
      </body>
    </html>
  );
}
