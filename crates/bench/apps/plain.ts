// plain.cjs, for Bun, whose longest timeout is none.
Bun.serve({
  port: Number(process.env.PORT),
  idleTimeout: 0,
  fetch: () => new Response("Hello, World!"),
});
console.log("ready");
