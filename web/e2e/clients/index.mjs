// The clients of Socket.IO in other languages, all with the same words: URL TOKEN CHANNEL as arguments, lines to send as input, JSON
// lists as output. make test runs those that are there within a minute; scripts/socketio-clients runs all.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = import.meta.dirname;
const root = join(here, "../../..");
const built = (name) => join(root, ".tools", name);

export const clients = {
  "python-socketio": async () => [
    join(root, "scripts/python-env"), "python-socketio", "python-socketio[client]==5.18.*", "--", "python", join(here, "chat.py"),
  ],
  "socket.io-client for Java": async () => [join(root, "scripts/java-env"), join(here, "java/Chat.java")],
  "socket.io for Go": async () => {
    await run("go", ["build", "-o", built("go-client"), "."], { cwd: join(here, "go") });
    return [built("go-client")];
  },
  ...(process.env.CLIENTS === "all" && {
    "rust_socketio": async () => {
      await run("cargo", ["build", "--quiet", "--release", "--locked", "--target-dir", built("rust-client")], { cwd: join(here, "rust") });
      return [built("rust-client/release/chat")];
    },
  }),
};

// Talker is such a client at work.
export class Talker {
  constructor([command, ...args], bellhop, user, channel, ...more) {
    this.said = [];
    this.process = spawn(command, [...args, bellhop.url, bellhop.token(user), channel, ...more], { stdio: ["pipe", "pipe", "inherit"] });
    this.exit = once(this.process, "exit").then(([code]) => code);
    createInterface({ input: this.process.stdout }).on("line", (line) => this.said.push(JSON.parse(line)));
  }

  say(text) {
    this.process.stdin.write(`${text}\n`);
  }

  end() {
    this.process.stdin.end();
    return this.exit;
  }

  kill = () => this.process.kill();
}
