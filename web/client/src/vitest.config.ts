import { existsSync } from "node:fs";

const here = "/work/main/web/client";
const core = existsSync(`${here}/src/index.ts`) && !process.env.SCRATCH ? `${here}/src/index.ts` : "/tmp/core/index.ts";
const old = "/work/main/web/react-18/node_modules";
export default ({ root: here,
  resolve: { alias: [{ find: /^\.\.\/(\.\.\/src\/)?index\.js$/, replacement: core }, ...(process.env.REACT === "18" ? [{ find: /^(react|react-dom|scheduler)(\/|$)/, replacement: `${old}/$1$2` }] : [])] },
  test: { environment: "happy-dom", include: ["test/react/**/*.test.*"], setupFiles: ["test/react/setup.ts"], env: { REACT: process.env.REACT ?? "19" } } });
