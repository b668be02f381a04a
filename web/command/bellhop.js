#!/usr/bin/env node
// Runs the program of this platform, which npm has installed as an optional dependency: nothing is downloaded here, and no script
// runs at the installation. BELLHOP_BINARY names another program.
"use strict";
const { spawn } = require("node:child_process");
const { constants } = require("node:os");

function program() {
  const { BELLHOP_BINARY: given } = process.env;
  if (given) return given;
  const name = `@bellhop/${process.platform}-${process.arch}`;
  const { optionalDependencies = {} } = require("./package.json");
  if (!(name in optionalDependencies)) {
    throw new Error(`there is no program for ${process.platform} on ${process.arch}, only ${Object.keys(optionalDependencies).join(", ")}. BELLHOP_BINARY can name one that you have built.`);
  }
  try {
    return require.resolve(`${name}/bin/bellhop${process.platform === "win32" ? ".exe" : ""}`);
  } catch {
    throw new Error(`${name} is not installed. Was npm told to leave out optional dependencies (--omit=optional), or are node_modules or the lock file of another system? Install again without.`);
  }
}

let child;
try {
  child = spawn(program(), process.argv.slice(2), { stdio: "inherit" });
} catch (error) {
  console.error(`bellhop: ${error.message}`);
  process.exit(1);
}
child.on("error", (error) => {
  console.error(`bellhop: ${error.message}`);
  process.exit(1);
});
// What is sent to this process is passed on, and the program decides when it is done; Ctrl-C reaches it twice, which it does not mind.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
