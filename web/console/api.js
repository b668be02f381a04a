// What the page asks the server: the paths beside it, the management API and the function emit.

let stage = "dev";

// learn keeps the name of the stage, which is in the paths of the management API.
export function learn(name) {
  stage = name;
}

async function answer(response) {
  const text = await response.text();
  let body = null;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    body = text;
  }
  if (response.ok) return body;
  throw new Error(body?.error ?? body?.message ?? body?.errorMessage ?? `HTTP ${response.status} ${response.statusText}`);
}

export const get = async (path) => answer(await fetch(path));

const post = async (path, body) => answer(await fetch(path, { method: "POST", body }));

export const replay = (connection, frame) => post("replay", JSON.stringify({ connection, frame }));

export const mint = (user) => post("token", JSON.stringify({ user }));

export const expire = (connection) => post("expire", JSON.stringify({ connection }));

const management = (connection) => `/${stage}/@connections/${encodeURIComponent(connection)}`;

export async function push(connection, frame) {
  try {
    await post(management(connection), frame);
  } catch (err) {
    throw err.message.startsWith("HTTP 410") ? new Error("This connection is closed (410).") : err;
  }
}

// emit gives what the function answers; that it refused is an error.
async function emit(command) {
  const result = await post("/2015-03-31/functions/emit/invocations", JSON.stringify(command));
  if (result?.ok === false) throw new Error(`${result.error.message} (${result.error.code})`);
  return result;
}

export async function send({ room, event, data, from, ephemeral }) {
  const command = { command: "publish", rooms: [room], event, ephemeral };
  if (data !== undefined) command.data = data;
  if (from) command.from = { userId: from };
  const { data: { results } } = await emit(command);
  if (results[0].error) throw new Error(results[0].error.message ?? String(results[0].error));
  return results[0];
}

// disconnect tells the client why, where the server is Bellhop's; elsewhere it only closes the connection.
export async function disconnect(connection, bellhop) {
  if (bellhop) return emit({ command: "disconnect", connection, reason: "closed from the console" });
  return answer(await fetch(management(connection), { method: "DELETE" }));
}
