import { signToken } from "@bellhop/client/server";
import { auth } from "@/auth"; // your session

export async function GET(): Promise<Response> {
  const session = await auth();
  if (!session) return new Response("log in first", { status: 401 });
  const token = await signToken(process.env.BELLHOP_JWT_SECRET!, {
    user: String(session.user.id),
    name: session.user.name,
    grants: { "channel:*": ["join", "signal"], "community:*": ["join"] }, // or only what this user may see
  });
  return new Response(token, { headers: { "Cache-Control": "no-store" } });
}
