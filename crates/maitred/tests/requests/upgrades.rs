//! WebSocket and other upgrades.

use std::process::Command;

use crate::apps::{Runtime, node, run_by, started, with_node_http};
use crate::client::Client;
use crate::harness::{Door, Setup, beside_others, repository};

const ECHO_WITH_WS: &str = "
const { WebSocketServer } = require(modules + '/ws');
const server = http.createServer((request, response) => response.end('plain'));
new WebSocketServer({ server }).on('connection', (socket) => {
  socket.send('instance ' + process.env.NODE_APP_INSTANCE);
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(port);";

const ECHO_WITH_BUN: &str = "
Bun.serve({
  port: Number(process.env.PORT),
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response('plain')),
  websocket: {
    open: (socket) => void socket.send('instance ' + process.env.NODE_APP_INSTANCE),
    message: (socket, message) => void socket.send(message),
  },
});";

const ECHO_WITH_DENO: &str = "
import process from 'node:process';
Deno.serve({ port: Number(process.env.PORT) }, (request) => {
  if (request.headers.get('upgrade') !== 'websocket') return new Response('plain');
  const { socket, response } = Deno.upgradeWebSocket(request);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => socket.send('instance ' + process.env.NODE_APP_INSTANCE);
  socket.onmessage = (event) => socket.send(event.data);
  return response;
});";

/// Sends texts and a large binary message, expects them back, and closes.
const CLIENT: &str = "
const WebSocket = require(process.argv[2] + '/ws');
const socket = new WebSocket(`ws://127.0.0.1:${process.argv[3]}/`);
const big = Buffer.alloc(5_000_000, 7);
let step = 0;
socket.on('message', (data, isBinary) => {
  if (step === 0 && String(data).startsWith('instance')) socket.send('hello');
  else if (step === 1 && String(data) === 'hello') socket.send(big);
  else if (step === 2 && isBinary && big.equals(data)) socket.close(1000, 'bye');
  else { console.error('unexpected at step', step, data); process.exit(1); }
  step++;
});
socket.on('close', (code) => process.exit(step === 3 && code === 1000 ? 0 : 2));
socket.on('error', (error) => { console.error(error); process.exit(3); });";

#[test]
fn websockets_talk_through() {
    let _turn = beside_others();
    let ws = |runtime| with_node_http(runtime, ECHO_WITH_WS);
    let bun = Setup::program("app.ts", ECHO_WITH_BUN);
    let deno = Setup::program("app.js", ECHO_WITH_DENO);
    for (name, setup) in [
        ("ws", ws(Runtime::Node)),
        ("ws under Bun", ws(Runtime::Bun)),
        ("ws under Deno", ws(Runtime::Deno)),
        ("bun", run_by(Runtime::Bun, bun)),
        ("deno", run_by(Runtime::Deno, deno)),
    ] {
        let script = setup.file("client.cjs", CLIENT);
        let run = started(setup, 3);
        let Door::Tcp(address) = run.door() else {
            panic!("not a TCP app");
        };
        for _ in 0..3 {
            let client = Command::new("node")
                .arg(&script)
                .arg(repository().join("tests/tools/node_modules"))
                .arg(address.port().to_string())
                .output()
                .unwrap();
            assert!(client.status.success(), "{name}: {client:?}");
        }
        assert_eq!(Client::connect(&run).get("/").body, b"plain");
    }
}

/// Any other protocol, with each side closing for itself.
#[test]
fn a_tunnel_ends_side_by_side() {
    let _turn = beside_others();
    let setup = node(
        "http.createServer().on('upgrade', (request, socket, head) => {
           socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: own\\r\\nConnection: Upgrade\\r\\n\\r\\n');
           let seen = String(head);
           socket.on('data', (data) => { seen += data; });
           socket.on('end', () => socket.end('seen: ' + seen));
         }).listen(port);",
    );
    let run = started(setup, 1);
    let mut client = Client::connect(&run);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\nearly ");
    assert_eq!(client.head().0, 101);
    client.send("late");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.all_the_rest(), b"seen: early late");
}
