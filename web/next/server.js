// Next.js and Socket.IO at one port: who is connected, and in which rooms, is known to this process alone.

import { createServer } from "node:http";
import next from "next";
import { Server } from "socket.io";

const port = Number(process.env.PORT ?? 3000);
const app = next({ dev: process.env.NODE_ENV !== "production", port });
await app.prepare();
const server = createServer(app.getRequestHandler());
const io = new Server(server, { path: "/api/socket" });
global.io = io; // for the server actions

const online = new Map(); // communities → user ids → how many sockets

io.on("connection", (socket) => {
  const userId = /(?:^|; )user=([^;]+)/.exec(socket.handshake.headers.cookie ?? "")?.[1];
  if (!userId) return socket.disconnect(true);
  socket.join(`user:${userId}`);
  socket.on("join:channel", (channelId) => socket.join(`channel:${channelId}`));
  socket.on("leave:channel", (channelId) => socket.leave(`channel:${channelId}`));
  socket.on("typing:start", ({ channelId, ...who }) => socket.to(`channel:${channelId}`).emit("user:typing", who));
  socket.on("typing:stop", ({ channelId, ...who }) => socket.to(`channel:${channelId}`).emit("user:stopped-typing", who));
  socket.on("join:community", (communityId) => {
    const users = online.get(communityId) ?? new Map();
    online.set(communityId, users.set(userId, (users.get(userId) ?? 0) + 1));
    socket.join(`community:${communityId}`);
    io.to(`community:${communityId}`).emit("presence:state", [...users.keys()]);
    socket.on("disconnect", () => {
      users.set(userId, users.get(userId) - 1);
      if (users.get(userId) === 0) users.delete(userId);
      io.to(`community:${communityId}`).emit("presence:state", [...users.keys()]);
    });
  });
});

server.listen(port);
