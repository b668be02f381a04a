import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const root = join(import.meta.dirname, "..");
const cache = join(root, "../node_modules/.cache");

/** The compiler, for programs of their own that import this package by its name, as an application does: by its declarations. */
export class Compiler {
  /** A folder of the programs, where they find packages. It is removed by `end`. */
  readonly dir: string;

  constructor() {
    mkdirSync(cache, { recursive: true });
    this.dir = mkdtempSync(join(cache, "compiler-"));
  }

  /** Writes the package's declarations, and gives what the compiler says. */
  declare(): Promise<string> {
    return this.#tsc(join(root, "tsconfig.build.json"), "--emitDeclarationOnly", "--sourceMap", "false", "--inlineSources", "false", "--outDir", join(this.dir, "dist"));
  }

  /** Compiles files, and gives what the compiler says: nothing, if all is well. */
  compile(include: string[], options: object = {}): Promise<string> {
    const entries = { "": "index", "/react": "react/index", "/server": "server/index", "/socketio": "socketio", "/schemas": "schemas", "/testing": "testing/index" };
    const compilerOptions = {
      target: "ES2022", module: "ESNext", moduleResolution: "bundler", lib: ["ES2023", "DOM", "DOM.Iterable"], jsx: "react-jsx", strict: true, noEmit: true, types: [],
      paths: Object.fromEntries(Object.entries(entries).map(([name, file]) => [`@bellhop/client${name}`, [`./dist/${file}.d.ts`]])),
      ...options,
    };
    const file = join(this.dir, "tsconfig.json");
    writeFileSync(file, JSON.stringify({ compilerOptions, include }));
    return this.#tsc(file);
  }

  end(): void {
    rmSync(this.dir, { recursive: true });
  }

  async #tsc(project: string, ...args: string[]): Promise<string> {
    const run = promisify(execFile)(join(root, "../node_modules/.bin/tsc"), ["-p", project, "--pretty", "false", ...args]);
    return (await run.catch((err: { stdout: string }) => err)).stdout;
  }
}
