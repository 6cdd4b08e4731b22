// hello.ts, for Node and its own cluster module.
const cluster = require("node:cluster");
const http = require("node:http");

const workers = Number(process.env.WORKERS);
if (cluster.isPrimary) {
  let listening = 0;
  cluster.on("listening", () => {
    listening += 1;
    if (listening === workers) console.log("ready");
  });
  for (let n = 0; n < workers; n += 1) cluster.fork();
} else {
  http
    .createServer((_request, response) => response.end("Hello, World!"))
    .listen(Number(process.env.PORT), "0.0.0.0");
}
