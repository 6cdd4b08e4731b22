//! Apps that fork their workers with `node:cluster`: each instance has a primary, which binds the port and
//! passes the socket on to its workers. Several instances, and an old and a new one, share it.

use serde_json::json;

use crate::harness::{Request, beside_others};
use crate::home::Home;
use crate::wait::until_it_is;

const WORKERS: usize = 2;

const APP: &str = "
const cluster = require('node:cluster');
if (cluster.isPrimary) {
    for (let i = 0; i < 2; i++) cluster.fork();
    cluster.on('exit', () => process.exit(1));
} else {
    const serve = (_, answer) => answer.setHeader('connection', 'close').end(String(process.pid));
    const at = { port: process.env.PORT, host: process.env.BOUND_TO };
    require('node:http').createServer(serve).listen(at, () => console.log('listens'));
}";

/// Waits until so many processes answer, none of which is one of these; who they are.
fn answering(home: &Home, workers: usize, not: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    until_it_is("all answer, and no other", || {
        found = (0..20 * workers)
            .map(|_| Request::get(&home.door(), "/").unwrap().body)
            .collect();
        found.sort();
        found.dedup();
        found.len() == workers && !found.iter().any(|pid| not.contains(pid))
    });
    found
}

#[test]
fn they_start_side_by_side_and_are_reloaded() {
    let _turn = beside_others();
    for interpreter in ["node", "bun"] {
        for host in [Some("127.0.0.1"), None] {
            for instances in [1, 2] {
                println!("{interpreter} {host:?} {instances}");
                let home = Home::new();
                home.file("app.cjs", APP);
                let app = json!({
                    "script": "app.cjs", "interpreter": interpreter, "instances": instances,
                    "env": { "BOUND_TO": host },
                });
                home.file("app.json", &app.to_string());
                home.does(&["start", "app.json"]);
                let first = answering(&home, instances * WORKERS, &[]);
                home.does(&["reload", "app"]);
                let second = answering(&home, instances * WORKERS, &first);
                home.does(&["scale", "app", "3"]);
                let all = answering(&home, 3 * WORKERS, &first);
                assert!(second.iter().all(|pid| all.contains(pid)));
            }
        }
    }
}
