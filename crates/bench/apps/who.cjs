// Tells everybody who connects which process has taken them.
const server = require("net").createServer((socket) => socket.end(String(process.pid)));
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1");
