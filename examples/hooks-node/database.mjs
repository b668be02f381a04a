// Stands for the application's database: messages by id, in a file. Saving an id again changes nothing, which every hook
// needs: a question may come again.
import { readFileSync, renameSync, writeFileSync } from "node:fs";

const file = process.env.MESSAGES_FILE ?? "messages.json";

export function messages() {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return {};
    throw error;
  }
}

export function save(id, message) {
  const all = messages();
  if (all[id]) return all[id];
  all[id] = message;
  writeFileSync(`${file}.new`, JSON.stringify(all, null, 1));
  renameSync(`${file}.new`, file);
  return message;
}
