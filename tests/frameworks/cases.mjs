// The frameworks, and how each is started: with three instances, or with three workers of its own.
import { join } from "node:path";

const apps = new URL("apps", import.meta.url).pathname;
const bin = new URL("node_modules/.bin", import.meta.url).pathname;
const python = new URL("python", import.meta.url).pathname;
const app = (name) => join(apps, name);

/** Three instances of a script. */
const instances = (name, script, ...words) => ({ name, script, words, count: 3 });

/** One instance of a Python server, which starts three workers. */
const forks = (name, server, ...words) => ({
  name,
  script: join(python, "bin", server),
  interpreter: "python3",
  words,
  count: 1,
});

/** Three instances of a Python server. */
const server = (name, ...rest) => ({ ...forks(name, ...rest), count: 3 });

/** A script of Python's. */
const script = (name, file, ...words) => ({
  ...instances(name, app(file), ...words),
  interpreter: "python3",
});

export function cases(port, socket) {
  const bind = `127.0.0.1:${port}`;
  const atPort = ["--host", "127.0.0.1", "--port", `${port}`];
  return [
    instances("Express", app("express.mjs")),
    instances("Fastify", app("fastify.mjs")),
    instances("Koa", app("koa.mjs")),
    instances("Hono (Node)", app("hono.mjs")),
    { ...instances("Hono (Bun)", app("hono.ts")), interpreter: "bun" },
    { ...instances("Elysia (Bun)", app("elysia.ts")), interpreter: "bun" },
    instances("NestJS", app("nest.mjs")),
    {
      ...instances("Next", join(bin, "next"), "start", app("next"), "-p", `${port}`),
      interpreter: "node",
    },
    instances("Nitro", app("nitro/.output/server/index.mjs")),
    { ...instances("Socket.IO", app("socket.io.mjs")), polling: true },
    server("uvicorn", "uvicorn", "asgi:app", ...atPort),
    forks("uvicorn --workers 3", "uvicorn", "asgi:app", ...atPort, "--workers", "3"),
    { ...server("uvicorn --uds", "uvicorn", "asgi:app", "--uds", socket), socket },
    server("gunicorn", "gunicorn", "wsgi:app", "-b", bind),
    forks("gunicorn -w 3", "gunicorn", "wsgi:app", "-b", bind, "-w", "3"),
    server("gunicorn gthread", "gunicorn", "wsgi:app", "-b", bind, "-k", "gthread"),
    forks("gunicorn gthread -w 3", "gunicorn", "wsgi:app", "-b", bind, "-k", "gthread", "-w", "3"),
    forks(
      "gunicorn with uvicorn",
      "gunicorn",
      ...["asgi:app", "-b", bind, "-w", "3", "-k", "uvicorn_worker.UvicornWorker"],
    ),
    { ...server("gunicorn unix:", "gunicorn", "wsgi:app", "-b", `unix:${socket}`), socket },
    server("granian", "granian", "--interface", "asgi", "asgi:app", ...atPort),
    forks(
      "granian --workers 3",
      "granian",
      ...["--interface", "asgi", "asgi:app", ...atPort, "--workers", "3"],
    ),
    server("hypercorn", "hypercorn", "asgi:app", "-b", bind),
    forks("hypercorn -w 3", "hypercorn", "asgi:app", "-b", bind, "-w", "3"),
    script("Sanic", "sanic_app.py"),
    script("Sanic single_process", "sanic_app.py", "single"),
    script("Tornado", "tornado_app.py"),
    { ...script("Tornado fork", "tornado_app.py", "fork"), count: 1 },
    script("aiohttp", "aiohttp_app.py"),
    {
      ...instances("php -S", app("who.php")),
      interpreter: "php",
      options: ["--interpreter-args", `-S ${bind}`],
    },
    { ...instances("Java HttpServer", app("Who.java")), interpreter: "java" },
  ].map((it) => ({ env: { PYTHONPATH: `${python}:${apps}` }, cwd: apps, ...it }));
}
