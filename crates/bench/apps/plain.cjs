// hello.ts, for one Node process.
require("node:http")
  .createServer((_request, response) => response.end("Hello, World!"))
  .listen(Number(process.env.PORT), "0.0.0.0", () => console.log("ready"));
