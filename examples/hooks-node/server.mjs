// The same hooks behind a web server, which node starts again whenever a file changes:
//
//   node --watch examples/hooks-node/server.mjs
//   bellhop dev --hook publish=http://127.0.0.1:9000 --hook join=http://127.0.0.1:9000
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { handler } from "./index.mjs";

const server = createServer(async (request, response) => {
  try {
    const answer = await handler(await json(request));
    response.setHeader("Content-Type", "application/json").end(JSON.stringify(answer));
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
});
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1", () => console.log(`hooks at http://127.0.0.1:${server.address().port}`));
