import { signToken } from "@bellhop/client/server";
import { cookies } from "next/headers";

/** Who asks: a guest with a cookie, which is nobody in particular. Ask your session instead. */
async function visitor(): Promise<string> {
  const jar = await cookies();
  const id = jar.get("guest")?.value ?? `guest-${crypto.randomUUID().slice(0, 8)}`;
  jar.set("guest", id, { httpOnly: true, sameSite: "lax", maxAge: 30 * 24 * 3600 });
  return id;
}

export async function GET(): Promise<Response> {
  const token = await signToken(process.env.BELLHOP_JWT_SECRET!, {
    user: await visitor(),
    grants: { "channel:*": ["join", "publish"], "community:*": ["join"] }, // or only what this user may see
  });
  return new Response(token, { headers: { "Cache-Control": "no-store" } });
}
