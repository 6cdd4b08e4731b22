// Bun's own recipe for more than one process: a parent spawns copies of this file, and each copy
// listens on the same port with `reusePort`.
import { work } from "../work.mjs";

const worker = process.env.WORKER;

if (worker === undefined) {
  const children = Array.from({ length: Number(process.env.WORKERS ?? 3) }, (_, i) =>
    Bun.spawn([process.execPath, import.meta.path], {
      env: { ...process.env, WORKER: String(i + 1) },
      stdio: ["ignore", "inherit", "inherit"],
    }),
  );
  // A parent that is told to stop takes its children with it.
  process.on("exit", () => children.forEach((child) => child.kill()));
  process.on("SIGINT", () => process.exit(130));
  process.on("SIGTERM", () => process.exit(143));
} else {
  const server = Bun.serve({
    port: Number(process.env.PORT ?? 5555),
    reusePort: true,
    fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      if (pathname === "/api") return Response.json(work(searchParams, worker));
      if (pathname === "/") return new Response(Bun.file(`${import.meta.dir}/../page.html`));
      return new Response("not found\n", { status: 404 });
    },
  });
  console.log(`worker ${worker} listening on ${server.url}`);
}
