// A server of Node's that does not speak HTTP: it answers whatever comes.
require("node:net")
  .createServer((socket) => {
    socket.on("data", () => socket.write("done"));
    socket.on("error", () => {});
  })
  .listen(Number(process.env.PORT), "0.0.0.0", () => console.log("ready"));
