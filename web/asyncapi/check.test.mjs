// The protocol's document as its official parser reads it, the types of @bellhop/client beside its schemas, and the document of
// POST /emit by a validator of OpenAPI.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { execFileSync } from "node:child_process";
import { Parser } from "@asyncapi/parser";
import { Validator } from "@seriousme/openapi-schema-validator";
import { compile } from "json-schema-to-typescript";
import { Bellhop } from "../testing/bellhop.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const bellhop = new Bellhop(["--memory"]);
let text;

before(async () => {
  await bellhop.start();
  text = JSON.stringify(await bellhop.ask("GET", "/_bellhop/api/asyncapi.json"));
});
after(() => bellhop.end());

test("the official parser finds no error", async () => {
  const { document, diagnostics } = await new Parser().parse(text);
  assert.deepEqual(diagnostics.filter((d) => d.severity === 0).map((d) => `${d.path.join(".")}: ${d.message}`), []);
  assert.equal(document.version(), "3.0.0");
  const operations = document.operations().all();
  assert.ok(operations.some((o) => o.id() === "join" && o.isReceive() && o.reply()));
  assert.ok(operations.some((o) => o.id() === "on_message_new" && o.isSend()));
  assert.ok(document.messages().all().length > 40);
});

test("a validator of OpenAPI finds no error in the document of POST /emit, and finds one that is made", async () => {
  const document = await bellhop.ask("GET", "/_bellhop/api/openapi.json");
  const validator = new Validator();
  assert.deepEqual(await validator.validate(document), { valid: true });
  assert.equal(validator.version, "3.1");
  const operation = document.paths["/emit"].post;
  assert.equal((await new Validator().validate({ ...document, paths: { "/emit": { post: { ...operation, responses: 200 } } } })).valid, false);
});

test("the schemas and the types of @bellhop/client fit each other", async () => {
  const { components } = JSON.parse(text);
  // A schema as json-schema-to-typescript likes it: whole, closed, and with a name for what is any value at all.
  const inline = (schema) => {
    if (schema?.$ref?.endsWith("/event")) return { tsType: "Client.LoggedEvent" };
    if (schema?.$ref) return inline(components.schemas[schema.$ref.split("/").at(-1)]);
    if (Array.isArray(schema) || typeof schema !== "object") return schema;
    if (!schema.type && !schema.enum && schema.const === undefined) return { tsType: "unknown" };
    const { title, properties, items, ...rest } = schema; // by its title it would be called
    return {
      ...rest,
      ...(properties && { properties: Object.fromEntries(Object.entries(properties).map(([k, v]) => [k, inline(v)])), additionalProperties: false }),
      ...(items && { items: inline(items) }),
    };
  };
  const options = { bannerComment: "", format: false };
  let code = `import type * as Client from "${join(root, "web/client/src/index.ts")}";\n`;
  // Both ways: what the client's type says is a value of the schema, and what the schema requires the type has too.
  const same = (name, type, back = true) => `
const from${name}: (value: ${type}) => Schema${name} = (value) => value;
void from${name};\n` + (back ? `
const into${name}: (value: Pick<Schema${name}, keyof ${type} & keyof Schema${name}>) => Partial<${type}> = (value) => value;
void into${name};\n` : "");
  const replies = {
    joinResult: "JoinResult", publishResult: "PublishResult", historyResult: "HistoryResult", presenceResult: "PresenceResult",
    occupant: "Occupant", from: "From", position: "Position",
  };
  for (const [schema, type] of Object.entries(replies)) {
    code += await compile(inline(components.schemas[schema]), `Schema${type}`, options) + same(type, `Client.${type}`);
  }
  for (const [key, { title, payload }] of Object.entries(components.messages)) {
    const data = payload.properties.data;
    if (!key.startsWith("event_") || key === "event_other" || !data || Object.keys(data).length === 0) continue;
    const name = key.replace(/[^a-z]/g, "");
    const schema = { ...inline(data), type: "object" }; // the type is of events as they come, not of deleted ones in a log
    code += await compile(schema, `Schema${name}`, options) + same(name, `Client.SystemEvents[${JSON.stringify(title)}]`, title !== "message:new"); // its content may be anything, the type is of text
  }
  // The golden frames too: they are the examples of the table of events.
  for (const { name, frame } of JSON.parse(readFileSync(join(root, "internal/protocol/testdata/server.json"), "utf8"))) {
    if (frame.event) code += `void (${JSON.stringify(frame.data)} satisfies Client.SystemEvents[${JSON.stringify(name)}]);\n`;
    if (frame.error) code += `void (${JSON.stringify(frame.error.code)} satisfies Client.ErrorCode);\n`;
  }
  const file = join(bellhop.dir, "check.ts");
  writeFileSync(file, code);
  const tsc = join(root, "web/node_modules/.bin/tsc");
  const flags = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--allowImportingTsExtensions", "--types", ""];
  try {
    execFileSync(tsc, [...flags, file], { encoding: "utf8" });
  } catch (err) {
    assert.fail(err.stdout);
  }
});
