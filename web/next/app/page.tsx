import Link from "next/link";

export default function Page() {
  return <Link href="/channels/1">Channel 1</Link>;
}
