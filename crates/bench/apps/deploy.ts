// deploy.cjs, for Bun.
Bun.serve({
  port: Number(process.env.PORT),
  async fetch(request) {
    const body = await request.arrayBuffer();
    await Bun.sleep(10);
    return new Response(`got ${body.byteLength}`);
  },
});
console.log("ready");
