// Answers after a while; ends in peace when it is asked to.
const http = require("node:http");
const server = http.createServer((_, response) => {
  setTimeout(() => response.end(`${process.pid}\n`), 300);
});
server.listen(Number(process.env.PORT));
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => server.close(() => process.exit(0)));
}
