// Node with its own cluster module: the primary accepts, and passes the connections on in turn.
import cluster from "node:cluster";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { work } from "../work.mjs";

const port = Number(process.env.PORT ?? 5555);

if (cluster.isPrimary) {
  const workers = Number(process.env.WORKERS ?? 3);
  for (let i = 0; i < workers; i++) cluster.fork();
} else {
  const page = readFileSync(new URL("../page.html", import.meta.url));

  createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://localhost");
    if (pathname === "/api") {
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify(work(searchParams, cluster.worker.id)));
    } else if (pathname === "/") {
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      response.end(page);
    } else {
      response.statusCode = 404;
      response.end("not found\n");
    }
  }).listen(port, () => console.log(`worker ${cluster.worker.id} listening on port ${port}`));
}
