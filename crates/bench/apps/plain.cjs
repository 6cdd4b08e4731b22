// hello.ts, for one Node process. No idle connection ends while it is looked at step by step.
const server = require("node:http").createServer((_request, response) => response.end("Hello, World!"));
server.keepAliveTimeout = 3_600_000;
server.listen(Number(process.env.PORT), "0.0.0.0", () => console.log("ready"));
