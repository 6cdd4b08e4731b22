//! Ports that a process has for itself: the kernel chose them, or a worker of `node:cluster` wants
//! no other one there.

use std::collections::BTreeSet;

use crate::harness::{Door, Request, Setup, beside_others};
use crate::listeners::{node, reports};

/// With SO_REUSEPORT a process may listen twice on a port that the kernel chose, and so may its
/// child: the kernel deals out connections to all of them.
#[test]
fn a_port_that_the_kernel_chose_is_shared_within_its_instance() {
    let _turn = beside_others();
    let text = "
import os, select, socket
def listen(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(('127.0.0.1', port))
    listener.listen()
    return listener
mine = [listen(0)]
port = mine[0].getsockname()[1]
mine.append(listen(port))
ready, go = os.pipe(), os.pipe()
if os.fork() == 0:
    child = listen(port)
    os.write(ready[1], b'x')
    os.read(go[0], 1)
    child.setblocking(False)
    accepted = 0
    try:
        while child.accept():
            accepted += 1
    except BlockingIOError:
        os._exit(accepted)
os.read(ready[0], 1)
clients = [socket.create_connection(('127.0.0.1', port)) for _ in range(128)]
os.write(go[1], b'x')
served = [os.waitstatus_to_exitcode(os.wait()[1])]
for listener in mine:
    served.append(0)
    while select.select([listener], [], [], 0)[0]:
        listener.accept()
        served[-1] += 1
even = sum(served) == 128 and min(served) > 0
print(f'report {os.environ[\"NODE_APP_INSTANCE\"]}: {even}', flush=True)
socket.create_server(('127.0.0.1', int(os.environ['PORT']))).accept()
";
    let mut run = Setup::program("app.py", text).instances(2).start();
    run.listening(2);
    assert!(reports(&run, 2).values().all(|even| even == "True"));
}

/// Each worker of a cluster of Node listens so, and says what came of it.
fn cluster(listen: &str) -> Setup {
    node(&format!(
        "import cluster from 'node:cluster';
        if (cluster.isPrimary) for (let i = 0; i < 3; i++) cluster.fork();
        else {{
            const {{ id }} = cluster.worker;
            const report = (value) => console.log(`report ${{id}}: ${{value}}`);
            const server = createServer((_, response) => response.end(`${{id}}`));
            server.on('error', ({{ code }}) => {{ report(code); setInterval(() => {{}}, 1e6); }});
            server.listen({listen}, () => report(server.address().port));
        }}"
    ))
    .instances(1)
}

#[test]
fn exclusive_workers_of_a_cluster_have_different_ports() {
    let _turn = beside_others();
    let run = cluster("{ port: 0, exclusive: true }").start();
    let ports = reports(&run, 3);
    let different: BTreeSet<_> = ports.values().collect();
    assert_eq!(different.len(), 3, "{ports:?}");
    for (id, port) in &ports {
        let port = port.parse().unwrap();
        let door = Door::Tcp(([127, 0, 0, 1], port).into());
        for _ in 0..3 {
            assert_eq!(Request::get(&door, "/").unwrap().body, *id);
        }
    }
}

/// The first one has it, as in Node.
#[test]
fn an_exclusive_port_has_one_worker_of_a_cluster() {
    let _turn = beside_others();
    let run = cluster("{ port: process.env.PORT, exclusive: true }").start();
    let ports = reports(&run, 3);
    let refused: Vec<_> = ports.values().filter(|it| *it == "EADDRINUSE").collect();
    assert_eq!(refused.len(), 2, "{ports:?}");
    let (id, _) = ports.iter().find(|(_, it)| *it != "EADDRINUSE").unwrap();
    for _ in 0..3 {
        assert_eq!(Request::get(&run.door(), "/").unwrap().body, *id);
    }
}

/// What Node does for `reusePort: true` in a worker of a cluster: the worker binds by itself, with
/// SO_REUSEPORT. On a port that the kernel chose each has a port of its own, where it can listen again.
#[test]
fn cluster_workers_that_reuse_a_chosen_port_have_different_ports() {
    let _turn = beside_others();
    let worker = "
import os, socket
def listen(port):
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(('::', port))
    listener.listen()
    return listener
mine = listen(0)
port = mine.getsockname()[1]
again = listen(port)
assert again.getsockname()[1] == port
again.close()
print('report', os.environ['NODE_UNIQUE_ID'] + ':', port, flush=True)
while True:
    client = mine.accept()[0]
    head = b''
    while not head.endswith(b'\\r\\n\\r\\n'):
        head += client.recv(1000)
    body = os.environ['NODE_UNIQUE_ID']
    client.sendall(f'HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\n{body}'.encode())
    client.close()
";
    for level in ["connection", "request"] {
        let setup = node(
            "import { spawn } from 'node:child_process';
            for (const id of [1, 2, 3]) {
                const env = { ...process.env, NODE_UNIQUE_ID: `${id}` };
                spawn('python3', [process.env.WORKER], { env, stdio: 'inherit' });
            }",
        );
        let worker = setup.file("worker.py", worker);
        let setup = setup.env("WORKER", worker).option("--per", level);
        let run = setup.instances(1).start();
        let ports = reports(&run, 3);
        let different: BTreeSet<_> = ports.values().collect();
        assert_eq!(different.len(), 3, "{ports:?}");
        for (id, port) in &ports {
            let port = port.parse().unwrap();
            let door = Door::Tcp(([127, 0, 0, 1], port).into());
            for number in 0..3 {
                match Request::get(&door, "/") {
                    Ok(answer) => assert_eq!(answer.body, *id),
                    Err(error) => panic!(
                        "{level}, request {number} to {id} of {ports:?}: {error}\n{}",
                        run.story()
                    ),
                }
            }
        }
    }
}
