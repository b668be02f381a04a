import type { NextConfig } from "next";

// The test builds it by either bundler, into a folder each. Types are checked once.
const { DIST_DIR = ".next" } = process.env;
const config: NextConfig = {
  distDir: DIST_DIR,
  turbopack: { root: import.meta.dirname },
  typescript: { ignoreBuildErrors: DIST_DIR === ".next-webpack" },
};

export default config;
