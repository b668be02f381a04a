import { defineConfig } from "vite";

// All of the client in one file, for pages without a bundler; tsc builds the rest into the same folder before.
export default defineConfig({
  build: {
    emptyOutDir: false, sourcemap: true,
    rolldownOptions: { output: { minify: true } },
    lib: { entry: "src/index.ts", formats: ["es"], fileName: () => "browser.js" },
  },
});
