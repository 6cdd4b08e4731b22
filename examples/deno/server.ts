// An HTTP server for Deno as everybody writes it. It knows nothing of other workers.
import { work } from "../work.mjs";

const page = await Deno.readFile(new URL("../page.html", import.meta.url));

Deno.serve({ port: Number(Deno.env.get("PORT") ?? 5555) }, (request) => {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/api") return Response.json(work(searchParams));
  if (pathname === "/") {
    return new Response(page, { headers: { "Content-Type": "text/html; charset=utf-8" } });
  }
  return new Response("not found\n", { status: 404 });
});
