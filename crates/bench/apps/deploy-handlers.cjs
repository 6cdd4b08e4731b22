// deploy.cjs with all that pm2 and rolling deploys ask of an app: it says when it is ready, and on a
// signal it ends idle connections, finishes requests, and asks their clients to come back on new ones.
let closing = false;
const server = require("node:http")
  .createServer((request, response) => {
    let length = 0;
    request.on("data", (piece) => (length += piece.length));
    request.on("end", () => {
      setTimeout(() => {
        if (closing) response.setHeader("Connection", "close");
        response.end(`got ${length}`);
      }, 10);
    });
  })
  .listen(Number(process.env.PORT), "0.0.0.0", () => {
    console.log("ready");
    process.send?.("ready");
  });
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    closing = true;
    server.close(() => process.exit(0));
  });
}
