// lines.cjs, for Bun.
Bun.listen({
  hostname: "0.0.0.0",
  port: Number(process.env.PORT),
  socket: {
    data(socket) {
      socket.write("done");
    },
  },
});
console.log("ready");
