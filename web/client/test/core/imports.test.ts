import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

/** Which file imports which, types too, below a folder. */
function importsOf(folder: string): Map<string, string[]> {
  const root = fileURLToPath(new URL(`../../../${folder}`, import.meta.url));
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((file) => /\.tsx?$/.test(file));
  const found = (path: string) => files.find((file) => file.replace(/\.tsx?$/, "") === path.replace(/\.js$/, ""));
  return new Map(files.map((file) => {
    const paths = [...readFileSync(join(root, file), "utf8").matchAll(/from "(\.[^"]+)"/g)].map(([, path]) => normalize(join(dirname(file), path!)));
    return [file, paths.flatMap((path) => found(path) ?? [])];
  }));
}

function circles(imports: Map<string, string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, path: string[]) => {
    if (path.includes(file)) found.push([...path.slice(path.indexOf(file)), file].join(" → "));
    if (path.includes(file) || done.has(file)) return;
    for (const next of imports.get(file) ?? []) walk(next, [...path, file]);
    done.add(file);
  };
  for (const file of imports.keys()) walk(file, []);
  return found;
}

test.each(["client/src", "demo/src"])("no files of %s import each other, not even by others", (folder) => {
  const imports = importsOf(folder);
  expect([...imports.values()].flat().length).toBeGreaterThan(20);
  expect(circles(imports)).toEqual([]);
});

test("what a client is made of does not know React, nor servers", () => {
  for (const [file, paths] of importsOf("client/src")) {
    if (/^(react|server|testing)\//.test(file)) continue;
    expect(paths.filter((path) => /^(react|server|testing)\//.test(path)), file).toEqual([]);
  }
});
