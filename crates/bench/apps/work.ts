// The app of the tail benchmark: `/?ms=N` blocks the event loop for N ms,
// by sleeping, so that many workers fit on few cores.
Bun.serve({
  port: Number(process.env.PORT),
  reusePort: process.env.REUSE_PORT === "1",
  fetch(request) {
    const ms = Number(request.url.slice(request.url.indexOf("=") + 1));
    if (ms > 0) Bun.sleepSync(ms);
    return new Response("done");
  },
});
console.log("ready");
