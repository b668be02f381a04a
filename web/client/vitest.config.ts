import { svelte } from "@sveltejs/vite-plugin-svelte";
import vue from "@vitejs/plugin-vue";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const here = (path: string) => new URL(path, import.meta.url).pathname;

// The examples lie outside of web/, and find their packages as its tests do.
const fromHere: Plugin = {
  name: "from-here",
  enforce: "pre",
  resolveId(id, importer) {
    return importer?.startsWith(here("../../examples/")) && /^[@a-z]/.test(id) ? this.resolve(id, here("vitest.config.ts"), { skipSelf: true }) : null;
  },
};

// React 18 lies beside the React 19 of everything else.
const react18 = (name: string) => here(`../react-18/node_modules/${name}`);

const react = {
  include: ["test/react/**/*.test.{ts,tsx}"],
  environment: "happy-dom",
  setupFiles: ["test/react/setup.ts"],
};

// What the transport is nothing to: over that of socket.io-client too.
const over = { OVER: "socket.io" };
const react19 = { ...react, env: { REACT: "19" } };

export default defineConfig({
  test: {
    globalSetup: ["test/build.ts"],
    maxWorkers: 4, // they wait more than they work
    testTimeout: 30_000,
    hookTimeout: 120_000,
    projects: [
      { extends: true, test: { name: "node", include: ["test/{core,server,upgrade}/**/*.test.ts"] } },
      { extends: true, test: { name: "node over socket.io", include: ["test/core/{room,connection,hooks,silence}.test.ts"], env: over } },
      { extends: true, test: { name: "react 19", ...react19 } },
      {
        // The examples for Vue and Svelte import the package by its name.
        extends: true,
        plugins: [fromHere, vue(), svelte({ configFile: false })],
        resolve: { conditions: ["browser"], alias: { "@bellhop/client": here("src/index.ts") } },
        server: { fs: { allow: ["../.."] } },
        test: { name: "vue and svelte", include: ["test/frameworks/**/*.test.ts"], environment: "happy-dom" },
      },
      {
        extends: true,
        test: {
          name: "react 19 over socket.io", ...react19,
          include: ["test/react/{chat,events,notifications,presence}.test.tsx"], env: { ...react19.env, ...over },
        },
      },
      {
        extends: true,
        resolve: { alias: [{ find: /^(react|react-dom)(?=\/|$)/, replacement: react18("$1") }] },
        test: { name: "react 18", ...react, env: { REACT: "18" } },
      },
    ],
  },
});
