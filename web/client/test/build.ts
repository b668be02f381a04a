import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Builds the binary that all tests run, unless BELLHOP names one. */
export default async function setup(): Promise<(() => void) | void> {
  if (process.env.BELLHOP) return;
  const dir = mkdtempSync(join(tmpdir(), "bellhop-build-"));
  process.env.BELLHOP = join(dir, "bellhop");
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  await promisify(execFile)("go", ["build", "-o", process.env.BELLHOP, "./cmd/bellhop"], { cwd: root });
  return () => rmSync(dir, { recursive: true, force: true });
}
