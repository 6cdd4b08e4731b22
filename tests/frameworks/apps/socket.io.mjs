import { createServer } from "node:http";
import { Server } from "socket.io";
import { who } from "./who.mjs";

const server = createServer((request, response) => {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(who(new URL(request.url, "http://localhost").searchParams.get("ms"))));
});
new Server(server).on("connection", (socket) => socket.on("who", (answer) => answer(who(0))));
server.listen(process.env.PORT);
