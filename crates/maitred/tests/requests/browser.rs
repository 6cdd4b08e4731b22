//! The examples' page in a real browser: one tab, whose connections stay open and lead to the proxy,
//! so that any of them may carry any request.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Setup, alone, path_with_tools, repository, tool};

/// How often the page is used after it was opened.
const USES: usize = 4;

/// Each time, the page's three requests are answered by three different workers.
fn the_page_reaches_three_workers(setup: Setup, instances: usize, listening: u64) {
    let _turn = alone();
    let setup = setup.option("--per", "request").instances(instances);
    let mut run = setup.limit(600).start();
    run.listening(listening);
    // Long beside what the browser itself needs: a worker that had answered might get another one.
    let url = format!("http://127.0.0.1:{}/?ms=1000&how=sleep", run.port);
    let seen = Command::new(tool("node"))
        .arg(repository().join("tests/tools/page.mjs"))
        .arg(tool("chromium"))
        .args([&url, "0", &USES.to_string()])
        .env("PATH", path_with_tools())
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&seen.stdout);
    let errors = String::from_utf8_lossy(&seen.stderr);
    assert!(seen.status.success(), "{lines}\n{errors}");
    assert_eq!(lines.lines().count(), 1 + USES, "{lines}");
    for line in lines.lines() {
        let view: Value = serde_json::from_str(line).unwrap();
        let results = view["results"].as_array().unwrap();
        let workers: BTreeSet<_> = results
            .iter()
            .filter_map(|result| result["instance"].as_str())
            .collect();
        assert_eq!(workers.len(), 3, "{lines}");
    }
}

#[test]
fn bun_serve() {
    the_page_reaches_three_workers(Setup::example("bun-serve/server.ts"), 3, 3);
}

#[test]
fn bun_http() {
    the_page_reaches_three_workers(Setup::example("bun-http/server.ts"), 3, 3);
}

#[test]
fn bun_cluster() {
    the_page_reaches_three_workers(Setup::example("bun-cluster/server.ts"), 1, 3);
}

#[test]
fn bun_spawn() {
    the_page_reaches_three_workers(Setup::example("bun-spawn/server.ts"), 1, 3);
}

#[test]
fn node_http() {
    the_page_reaches_three_workers(Setup::example("node-http/server.mjs"), 3, 3);
}

/// Its primary alone listens, and gives the pairs to its workers in turn.
#[test]
fn node_cluster() {
    the_page_reaches_three_workers(Setup::example("node-cluster/server.mjs"), 1, 1);
}

#[test]
fn deno() {
    let setup = Setup::example("deno/server.ts").option("--interpreter", "deno");
    the_page_reaches_three_workers(setup, 3, 3);
}

#[test]
fn python() {
    the_page_reaches_three_workers(Setup::example("python/server.py"), 3, 3);
}
