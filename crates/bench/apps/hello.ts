// The app of the throughput benchmark: the least that a Bun server can do.
// REUSE_PORT=1 is the raw contender; everybody else runs it without.
Bun.serve({
  port: Number(process.env.PORT),
  reusePort: process.env.REUSE_PORT === "1",
  fetch: () => new Response("Hello, World!"),
});
console.log("ready");
