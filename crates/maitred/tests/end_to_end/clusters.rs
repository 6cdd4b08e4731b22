//! Apps that fork with `node:cluster`: their workers get connections from maitred, not from their
//! primary, so that one that is blocked holds up nobody.

use crate::harness::{Gate, Request, Setup, beside_others};

const WORKERS: u64 = 3;

/// More than enough for a rotation to come to each worker.
const REQUESTS: usize = 30;

const HTTP: &str = "
    import { createServer } from 'node:http';
    createServer(({ url }, response) => {
        answer(url);
        response.setHeader('connection', 'close');
        response.end('{}');
    }).listen(process.env.PORT);";

const NET: &str = "
    import { createServer } from 'node:net';
    createServer((socket) => socket.once('data', (data) => {
        answer(String(data));
        socket.end('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{}');
    })).listen(process.env.PORT);";

fn app(serve: &str) -> Setup {
    let (imports, serve) = serve.split_at(serve.find(';').unwrap() + 1);
    let text = format!(
        "import cluster from 'node:cluster';
        import fs from 'node:fs';
        {imports}
        const answer = (asked) => {{
            if (!asked.includes('/blocked')) return;
            console.log('at the gate');
            fs.readSync(fs.openSync(process.env.GATE), new Uint8Array(1));
        }};
        if (cluster.isPrimary) for (let i = 0; i < {WORKERS}; i++) cluster.fork();
        else {{ {serve} }}"
    );
    Setup::program("app.mjs", &text).instances(1)
}

/// While one worker is blocked, whoever comes is answered by the others.
fn a_blocked_worker_holds_up_nobody(setup: Setup) {
    let _turn = beside_others();
    let gate = Gate::new(setup.folder());
    let mut run = setup.env("GATE", gate.path()).start();
    run.listening(WORKERS);
    let door = run.door();
    let mut blocked = Request::connect(&door).unwrap();
    blocked.send("/blocked").unwrap();
    run.output("a blocked worker", |text| text.contains("at the gate"));
    for _ in 0..REQUESTS {
        assert_eq!(Request::get(&door, "/").unwrap().status, 200);
    }
    gate.lets_pass(1);
    assert_eq!(blocked.receive().unwrap().status, 200);
}

#[test]
fn a_blocked_worker_of_node_http_holds_up_nobody() {
    a_blocked_worker_holds_up_nobody(app(HTTP));
}

#[test]
fn a_blocked_worker_of_node_net_holds_up_nobody() {
    a_blocked_worker_holds_up_nobody(app(NET));
}

#[test]
fn a_blocked_worker_of_bun_http_holds_up_nobody() {
    a_blocked_worker_holds_up_nobody(app(HTTP).option("--interpreter", "bun"));
}

#[test]
fn a_blocked_worker_of_bun_net_holds_up_nobody() {
    a_blocked_worker_holds_up_nobody(app(NET).option("--interpreter", "bun"));
}

#[test]
fn requests_pass_a_blocked_worker_of_node_by() {
    a_blocked_worker_holds_up_nobody(app(HTTP).option("--per", "request"));
}

/// Who wants the primary to pass connections on says so, and it is the only worker then.
#[test]
fn what_the_app_says_of_its_cluster_holds() {
    let _turn = beside_others();
    let setup = app(HTTP).env("NODE_CLUSTER_SCHED_POLICY", "rr");
    let mut run = setup.start();
    run.listening(1);
    for _ in 0..REQUESTS {
        assert_eq!(Request::get(&run.door(), "/").unwrap().status, 200);
    }
    let listening = run.events();
    let listening = listening.iter().filter(|event| event.is("listening"));
    assert_eq!(listening.count(), 1);
}
