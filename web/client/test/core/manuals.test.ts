import { execFile } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { promisify } from "node:util";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Compiler } from "../compiler.js";
import { startBellhop, type Bellhop } from "../emulator.js";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../../../..");
const src = join(root, "web/client/src");
const compiler = new Compiler();
const { dir } = compiler;
afterAll(() => compiler.end());

interface Block {
  at: string;
  language: string;
  text: string;
}

/** All Markdown files below a folder. */
function manuals(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === "node_modules" || entry.name.startsWith(".")) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? manuals(path) : path.endsWith(".md") ? [path] : [];
  });
}

/** What follows in MIGRATION.md is done to a real application, and that is used, by e2e/next.test.mjs. */
const MIGRATED = "\n## Step by step, for a Next.js application\n";

/** The blocks of TypeScript and JavaScript in every manual of the repository. */
function blocks(): Block[] {
  return manuals(root).flatMap((path) => {
    const text = readFileSync(path, "utf8").split(MIGRATED)[0]!;
    return [...text.matchAll(/^```(ts|tsx|js)\n([^]*?)^```$/gm)].map((match) => (
      { at: `${relative(root, path)}:${text.slice(0, match.index).split("\n").length}`, language: match[1]!, text: match[2]! }
    ));
  });
}
const all = blocks();

/** What the manuals presuppose: an application, its session and its database. */
const application = `
  declare const url: string, roomId: string;
  declare const token: () => Promise<string>;
  declare const client: import("@bellhop/client").Client;
  declare const room: import("@bellhop/client").Room;
  declare const socket: import("socket.io-client").Socket;
  declare const freshToken: () => Promise<string>;
  declare const isMuted: (user: string, room: string) => Promise<boolean>;
  declare module "@/auth" { export function auth(): Promise<{ user: { id: string; name: string } } | null>; }
  declare module "@/db" { export const db: { message: { create(row: { channelId: string; content: string; userId: string }): Promise<{ id: string; content: string }> } }; }
`;

const alias = {
  "@bellhop/client/react": "react/index.ts", "@bellhop/client/server": "server/index.ts", "@bellhop/client/socketio": "socketio.ts",
  "@bellhop/client/schemas": "schemas.ts", "@bellhop/client/testing": "testing/index.ts", "@bellhop/client": "index.ts",
};

/** Whether a block does something by itself: others are parts of a page or of a server. */
const runs = ({ text }: Block) => !/^export |<\w+|"@\//m.test(text) && /^(import|await) /m.test(text) && !text.includes("interface Register");

describe("blocks of manuals", () => {
  test("there are as many as there were", () => {
    expect(all.length).toBeGreaterThanOrEqual(15);
    expect(all.filter(runs).length).toBeGreaterThanOrEqual(6);
  });

  test("compile", { timeout: 120_000 }, async () => {
    expect(await compiler.declare()).toBe("");
    const declaring: number[] = []; // what their rooms are, which holds for a whole program
    for (const [i, { language, text }] of all.entries()) {
      writeFileSync(join(dir, `block${i}.${language}`), /^(import|export) /m.test(text) ? text : `export {};\n${text}`);
      if (text.includes("interface Register")) declaring.push(i);
    }
    writeFileSync(join(dir, "application.d.ts"), application);
    const blocks = (language: string) => all.flatMap((block, i) => (block.language.startsWith(language) && !declaring.includes(i) ? [`block${i}.${block.language}`] : []));
    const options = { types: ["node"], skipLibCheck: true, lib: ["ES2023", "DOM", "DOM.Iterable", "ESNext.Disposable"] };
    const said = [
      await compiler.compile([...blocks("ts"), "application.d.ts"], options),
      await compiler.compile([...blocks("js"), "application.d.ts"], { ...options, allowJs: true, checkJs: true, noImplicitAny: false }),
    ];
    for (const i of declaring) said.push(await compiler.compile([`block${i}.${all[i]!.language}`, "application.d.ts"], options));
    expect(said.join("").replace(/[^ \n]*block(\d+)\.\w+/g, (_, i: string) => all[Number(i)]!.at)).toBe("");
    expect(declaring.length).toBeGreaterThan(0);
  });

  describe("that do something by themselves run, against bellhop dev", () => {
    let bellhop: Bellhop;
    beforeAll(async () => {
      bellhop = await startBellhop("--memory");
    });
    afterAll(() => bellhop.end());

    test.each(all.map((block, i) => ({ ...block, i })).filter(runs))("$at", { timeout: 60_000 }, async ({ text, language, i }) => {
      const code = text.replace(/wss?:\/\/(abc\.execute-api[^"]*|127\.0\.0\.1:4000\/dev)"/g, (whole) => (/execute-api[^/]*"/.test(whole) ? whole : `${bellhop.ws}"`))
        .replaceAll("http://127.0.0.1:4000", bellhop.http).replaceAll('"bellhop-emit"', '"EmitFunction"');
      const before = `
        import { WebSocket } from "ws";
        globalThis.WebSocket ??= WebSocket;
        const signed = ${JSON.stringify(bellhop.token("ana", { grants: { "*": ["join", "publish"] } }))};
        globalThis.token = ${/connect\(/.test(code) ? "async () => signed" : "signed"};
        globalThis.fetch = ((real) => async (at, ...rest) => (String(at).startsWith("/") ? new Response(signed) : real(at, ...rest)))(fetch);
      `;
      writeFileSync(join(dir, `before${i}.ts`), before);
      writeFileSync(join(dir, `run${i}.${language}`), `import "./before${i}.ts";\n${code}\nsetTimeout(() => process.exit(0), 300);\n`);
      await build({
        root: dir, configFile: false, logLevel: "error",
        resolve: { alias: Object.entries(alias).map(([name, file]) => ({ find: name, replacement: join(src, file) })) },
        build: { outDir: join(dir, `out${i}`), minify: false, ssr: join(dir, `run${i}.${language}`), target: "node20", rollupOptions: { output: { entryFileNames: "run.mjs" } } },
      });
      await run(process.execPath, [join(dir, `out${i}/run.mjs`)], {
        timeout: 30_000, cwd: dir,
        env: {
          ...process.env, BELLHOP_ENDPOINT: bellhop.http, AWS_ENDPOINT_URL_LAMBDA: bellhop.http, AWS_REGION: "us-east-1", AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test",
        },
      });
    });
  });
});
