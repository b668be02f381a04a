import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Compiler } from "../compiler.js";

const compiler = new Compiler();
afterAll(() => compiler.end());

test("an application's declaration is what client, hooks and emitter know", { timeout: 60_000 }, async () => {
  expect(await compiler.declare()).toBe("");
  const files = [join(import.meta.dirname, "../types")];
  expect(await compiler.compile(files)).toBe("");
  expect(await compiler.compile(files, { lib: ["ES2022", "DOM"], exactOptionalPropertyTypes: true })).toBe("");
});
