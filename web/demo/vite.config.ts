import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const client = (file: string) => fileURLToPath(new URL(`../client/src/${file}`, import.meta.url));

export default defineConfig({
  base: "./",
  resolve: {
    alias: [
      { find: /^@bellhop\/client$/, replacement: client("index.ts") },
      { find: /^@bellhop\/client\/react$/, replacement: client("react/index.ts") },
      { find: /^@bellhop\/client\/socketio$/, replacement: client("socketio.ts") },
    ],
  },
  build: {
    outDir: "dist/page", // demo.go embeds dist, which is there in every checkout
    emptyOutDir: true,
    target: "es2022",
    // The policy of the server allows neither inline code nor data: URLs for anything but images.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rolldownOptions: {
      onwarn(warning, warn) {
        if (warning.code !== "MODULE_LEVEL_DIRECTIVE") warn(warning); // "use client" says nothing here
      },
    },
  },
  // npm run dev: with a `bellhop dev` beside it.
  server: {
    proxy: {
      "/_bellhop": "http://127.0.0.1:4000",
      "/dev": { target: "ws://127.0.0.1:4000", ws: true },
      "/socket.io": { target: "ws://127.0.0.1:4000", ws: true },
    },
  },
});
