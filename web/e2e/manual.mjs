// Does what a manual says: its code blocks that name a file are written there, its diffs are applied, its commands are run.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

// blocks gives the fenced code blocks of a part of a Markdown text, from a heading to the next of its rank.
export function blocks(markdown, heading) {
  const from = markdown.indexOf(`\n${heading}\n`);
  assert.notEqual(from, -1, `there is no heading ${heading}`);
  const rest = markdown.slice(from + heading.length + 1);
  const rank = heading.split(" ")[0];
  const part = rest.slice(0, rest.search(new RegExp(`\n#{1,${rank.length + 1}} `)) >>> 0);
  return [...part.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, code]) => ({ language, code }));
}

// follow does in a folder what the blocks say, in order. It gives what it did.
export async function follow(dir, steps, env) {
  const did = [];
  for (const { language, code } of steps) {
    const path = /^(?:\/\/|#|---) (\S+\/\S+|\S+\.\w+)\n/.exec(code)?.[1];
    if (language === "sh") {
      await run("/bin/sh", ["-ec", code], { cwd: dir, env });
      did.push("sh");
    } else if (language === "diff") {
      await edit(join(dir, path), code.split("\n").slice(1, -1));
      did.push(`diff ${path}`);
    } else if (path) {
      await mkdir(dirname(join(dir, path)), { recursive: true });
      await writeFile(join(dir, path), code);
      did.push(path);
    }
  }
  return did;
}

// edit applies one hunk: its context and what it takes away must be in the file exactly once.
async function edit(path, lines) {
  const side = (sign) => lines.filter((line) => line[0] !== sign).map((line) => `${line.slice(1)}\n`).join("");
  const [before, after] = [side("+"), side("-")];
  const parts = (await readFile(path, "utf8")).split(before);
  assert.equal(parts.length, 2, `${path} has this ${parts.length - 1} times:\n${before}`);
  await writeFile(path, parts.join(after));
}
