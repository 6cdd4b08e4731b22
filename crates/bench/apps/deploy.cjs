// The app of the `reload` benchmark, as people write it: it knows nothing of reloads. Each answer takes
// some milliseconds, so that requests are in progress at any time, and tells how much came.
require("node:http")
  .createServer((request, response) => {
    let length = 0;
    request.on("data", (piece) => (length += piece.length));
    request.on("end", () => setTimeout(() => response.end(`got ${length}`), 10));
  })
  .listen(Number(process.env.PORT), "0.0.0.0", () => console.log("ready"));
