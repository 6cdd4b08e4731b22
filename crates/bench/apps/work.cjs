// work.ts, for Node and its own cluster module.
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
  const never = new Int32Array(new SharedArrayBuffer(4));
  http
    .createServer((request, response) => {
      const ms = Number(request.url.slice(request.url.indexOf("=") + 1));
      if (ms > 0) Atomics.wait(never, 0, 0, ms);
      response.end("done");
    })
    .listen(Number(process.env.PORT), "0.0.0.0");
}
