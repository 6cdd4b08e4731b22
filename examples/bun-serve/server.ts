// An HTTP server for Bun as everybody writes it. It knows nothing of other workers.
import { work } from "../work.mjs";

const server = Bun.serve({
  port: Number(process.env.PORT ?? 5555),
  fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/api") return Response.json(work(searchParams));
    if (pathname === "/") return new Response(Bun.file(`${import.meta.dir}/../page.html`));
    return new Response("not found\n", { status: 404 });
  },
});

console.log(`listening on ${server.url}`);
