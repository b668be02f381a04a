import { auth } from "@/auth";
import { db } from "@/db";
import { Chat } from "./chat";
import { Notifications } from "./notifications";
import { Online } from "./online";

export default async function Page({ params }: { params: Promise<{ id: string }> }) {
  const channelId = Number((await params).id);
  const session = await auth();
  if (!session) return <p>Log in first.</p>;
  return (
    <main>
      <Online communityId={1} />
      <Notifications userId={session.user.id} />
      <Chat channelId={channelId} initialMessages={db.message.list(channelId)} user={session.user} />
    </main>
  );
}
