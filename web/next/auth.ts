import { cookies } from "next/headers";

/** Who is logged in: here whoever the cookie says, in your application a session. */
export async function auth(): Promise<{ user: { id: string; name: string } } | null> {
  const id = (await cookies()).get("user")?.value;
  return id ? { user: { id, name: id[0].toUpperCase() + id.slice(1) } } : null;
}
