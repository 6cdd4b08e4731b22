// Answers after a while; ends in peace when it is asked to, unless it is told not to care.
const http = require("node:http");
const server = http.createServer((_, response) => {
  setTimeout(() => response.end(`${process.pid}\n`), 300);
});
server.listen(Number(process.env.PORT));
if (!process.argv.includes("--careless")) {
  process.on("SIGINT", () => server.close(() => process.exit(0)));
}
