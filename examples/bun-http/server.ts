// The same server with node:http, run by Bun.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { work } from "../work.mjs";

const port = Number(process.env.PORT ?? 5555);
const page = readFileSync(new URL("../page.html", import.meta.url));

createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url!, "http://localhost");
  if (pathname === "/api") {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(work(searchParams)));
  } else if (pathname === "/") {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(page);
  } else {
    response.statusCode = 404;
    response.end("not found\n");
  }
}).listen(port, () => console.log(`listening on port ${port}`));
