//! The apps that the tests run, the same for each runtime, as far as each can.

use crate::harness::{Gate, Run, Setup, repository};

/// Who runs an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Node,
    Bun,
    Deno,
}

pub(crate) const RUNTIMES: [Runtime; 3] = [Runtime::Node, Runtime::Bun, Runtime::Deno];

/// With fetch's Request and Response, as Bun and Deno speak it.
const HANDLER: &str = r#"
import fs from "node:fs";
const gate = process.env.GATE && fs.openSync(process.env.GATE, "r");
const instance = process.env.NODE_APP_INSTANCE;
let wake = () => {};
const handle = async (request, ip) => {
  const url = new URL(request.url);
  const json = (value) => Response.json(value, { headers: { "X-App": "yes" } });
  switch (url.pathname) {
    case "/who":
      return json({ instance, pid: process.pid, ip, headers: Object.fromEntries(request.headers) });
    case "/sleep":
      await new Promise((resolve) => setTimeout(resolve, Number(url.searchParams.get("ms"))));
      return json({ instance });
    case "/wait":
      // Blocks until the test lets it go on.
      console.log("waits");
      fs.readSync(gate, new Uint8Array(1));
      return json({ instance });
    case "/block": {
      console.log("blocked");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(url.searchParams.get("ms")));
      return json({ instance });
    }
    case "/length": {
      let length = 0;
      if (request.body) for await (const part of request.body) length += part.length;
      return json({ length, instance });
    }
    case "/late": {
      // Nothing of its body is read before somebody wakes it.
      console.log("does not read");
      await new Promise((resolve) => { wake = resolve; });
      let length = 0;
      for await (const part of request.body) length += part.length;
      return json({ length, instance });
    }
    case "/empty":
      return new Response(null, { status: Number(url.searchParams.get("status")) });
    case "/echo":
      return new Response(request.body ?? "");
    case "/wake":
      wake();
      return json({ instance });
    case "/events": {
      let count = 0;
      const body = new ReadableStream({
        start(to) {
          const next = () => to.enqueue(new TextEncoder().encode(`data: ${count++}\n\n`));
          wake = next;
          next();
        },
        cancel() { wake = () => {}; console.log("events have ended"); },
      });
      return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
    }
    case "/big": {
      let left = Number(url.searchParams.get("mb"));
      const body = new ReadableStream({
        pull(to) {
          if (left-- > 0) to.enqueue(new Uint8Array(1024 * 1024));
          else to.close();
        },
      });
      return new Response(body);
    }
    case "/die":
      process.kill(process.pid, "SIGKILL");
      await new Promise(() => {});
  }
  return new Response("not found", { status: 404 });
};
"#;

const BUN: &str = r#"
Bun.serve({
  port: Number(process.env.PORT),
  idleTimeout: 60,
  fetch: (request, server) => handle(request, server.requestIP(request).address),
});
"#;

const DENO: &str = r#"
import process from "node:process";
Deno.serve({ port: Number(process.env.PORT) }, (request, info) => handle(request, info.remoteAddr.hostname));
"#;

const NODE: &str = r#"
import http from "node:http";
import { Readable } from "node:stream";
// A client that goes in the middle of its request is an error to whoever reads it.
const serve = async (request, response) => {
  const body = ["GET", "HEAD"].includes(request.method) ? undefined : Readable.toWeb(request);
  const url = `http://${request.headers.host}${request.url}`;
  const asked = new Request(url, { method: request.method, headers: request.headers, body, duplex: "half" });
  const answer = await handle(asked, request.socket.remoteAddress);
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  response.flushHeaders();
  if (!answer.body) return response.end();
  const reader = answer.body.getReader();
  response.on("close", () => reader.cancel().catch(() => {}));
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!response.write(value)) await new Promise((resolve) => response.once("drain", resolve));
  }
  response.end();
};
http.createServer((request, response) => {
  serve(request, response).catch(() => response.destroy());
}).listen(Number(process.env.PORT));
"#;

/// The app, with requests placed one by one.
pub(crate) fn app(runtime: Runtime) -> Setup {
    let (name, server) = match runtime {
        Runtime::Node => ("app.mjs", NODE),
        Runtime::Bun => ("app.ts", BUN),
        Runtime::Deno => ("app.js", DENO),
    };
    run_by(runtime, Setup::program(name, &format!("{HANDLER}{server}")))
}

/// A program that this runtime is to run, with requests placed one by one.
pub(crate) fn run_by(runtime: Runtime, setup: Setup) -> Setup {
    let setup = setup.option("--per", "request");
    match runtime {
        Runtime::Node => setup.option("--interpreter", "node"),
        Runtime::Bun => setup.option("--interpreter", "bun"),
        Runtime::Deno => setup
            .option("--interpreter", "deno")
            .option("--interpreter-args", "run --allow-all --quiet"),
    }
}

/// The same with a gate, at which `/wait` waits.
pub(crate) fn gated_app(runtime: Runtime) -> (Setup, Gate) {
    let setup = app(runtime);
    let gate = Gate::new(setup.folder());
    (setup.env("GATE", gate.path()), gate)
}

/// An app in the words of `node:http`, for Node.
pub(crate) fn node(body: &str) -> Setup {
    with_node_http(Runtime::Node, body)
}

/// An app in the words of `node:http`, which all of them know.
pub(crate) fn with_node_http(runtime: Runtime, body: &str) -> Setup {
    let modules = repository().join("tests/tools/node_modules");
    let text = format!(
        "const http = require('http'); const net = require('net');\n\
         const modules = {:?}; const port = Number(process.env.PORT);\n{body}",
        modules.display().to_string()
    );
    run_by(runtime, Setup::program("app.cjs", &text))
}

/// Starts it, and waits until all instances listen.
pub(crate) fn started(setup: Setup, instances: usize) -> Run {
    let mut run = setup.instances(instances).start();
    run.listening(instances as u64);
    run
}
