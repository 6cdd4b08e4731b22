//! The demo page in a real browser, which opens and keeps connections as browsers do.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Setup, alone, path_with_tools, repository, tool};

const RUNS: usize = 20;
/// Long beside what the browser itself needs when the machine is busy.
const WORK: u32 = 1000;

/// Every time, the page's three requests are answered by three different instances.
#[test]
fn three_requests_of_the_page_go_to_three_workers() {
    let _turn = alone();
    let mut run = Setup::example("bun-serve/server.ts")
        .instances(3)
        .flag("--stats=1")
        .limit(900)
        .start();
    run.listening(3);
    run.comes_to_rest();

    let moved = run.moved();
    let url = format!("http://127.0.0.1:{}/?ms={WORK}&how=sleep", run.port);
    let seen = Command::new(tool("node"))
        .arg(repository().join("tests/tools/page.mjs"))
        .arg(tool("chromium"))
        .args([&url, &RUNS.to_string()])
        .env("PATH", path_with_tools())
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&seen.stdout);
    assert!(
        seen.status.success(),
        "{lines}\n{}",
        String::from_utf8_lossy(&seen.stderr)
    );

    let mut visits = 0;
    let mut wrong = Vec::new();
    for line in lines.lines() {
        let view: Value = serde_json::from_str(line).unwrap();
        let results = view["results"].as_array().unwrap();
        let instances: BTreeSet<_> = results
            .iter()
            .map(|result| result["instance"].as_str())
            .collect();
        if instances.len() != 3 {
            wrong.push(line);
        }
        visits += 1;
    }
    assert_eq!(visits, RUNS + 1 + RUNS / 2, "{lines}");
    // A connection that a worker did not take in time, for want of a processor, is another's as
    // long as the browser keeps it.
    assert!(
        wrong.is_empty() || run.moved_until_now() > moved,
        "{} of {visits} went wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
