// The app of the `requests` benchmark: `/` answers at once, `/large` with a megabyte, and
// `/work?ms=N` after it has blocked the event loop for N ms, by sleeping.
const large = new Uint8Array(1024 * 1024).fill("x".charCodeAt(0));
Bun.serve({
  port: Number(process.env.PORT),
  fetch(request) {
    const path = request.url.slice(request.url.indexOf("/", "http://".length));
    if (path === "/") return new Response("Hello, World!");
    if (path === "/large") return new Response(large);
    const ms = Number(path.slice(path.indexOf("=") + 1));
    if (ms > 0) Bun.sleepSync(ms);
    return new Response("done");
  },
});
console.log("ready");
