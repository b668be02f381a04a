// The way of an application that writes by itself: a server action stores the message, then tells the room. The id of the row
// is the id of the event, so that either step may be repeated.
//
//   node examples/hooks-node/store-then-emit.mjs channel:lobby ana "hello"
//
// In an application it is @bellhop/client/server that emits; here it is the Invoke API, to show all that happens.
import { randomUUID } from "node:crypto";
import { save } from "./database.mjs";

const [room, author, content] = process.argv.slice(2);
if (!content) throw new Error('usage: store-then-emit.mjs channel:lobby ana "hello"');

const id = randomUUID();
save(id, { room, author, content, time: Date.now() });

const endpoint = process.env.BELLHOP_ENDPOINT ?? "http://127.0.0.1:4000";
const response = await fetch(`${endpoint}/2015-03-31/functions/emit/invocations`, {
  method: "POST",
  body: JSON.stringify({ command: "publish", rooms: [room], event: "message:new", id, from: { userId: author }, data: { content } }),
});
const answer = await response.json();
if (!answer.ok) throw new Error(answer.error.message);
console.log(JSON.stringify(answer.data.results[0]));
