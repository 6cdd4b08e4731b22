//! What somebody meets who tries things out: mistakes, and the words that help.

use crate::harness::beside_others;
use crate::home::{Home, NODE_SERVER};

#[test]
fn a_mistyped_command_is_answered_with_the_nearest() {
    let home = Home::new();
    let errors = home.fails(&["strat", "app.js"]);
    assert!(errors.contains("'start'"), "{errors}");
    assert!(!errors.contains("'unstartup'"), "{errors}");
}

#[test]
fn a_build_that_fails_is_told_of_with_where_to_look() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-i", "1"]);
    home.is_up("server", 1);
    home.file("server.js", "throw new Error('a bad build')");
    let errors = home.fails(&["reload", "server"]);
    let expected = "keeping the previous one; `maitred logs server` shows what it wrote";
    assert!(errors.contains(expected), "{errors}");
    let logs = home.does(&["logs", "server", "--nostream", "--err"]);
    assert!(logs.contains("a bad build"), "{logs}");
}

/// Not of some, as if those were all.
#[test]
fn scaling_tells_of_all_workers() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-i", "1"]);
    let said = home.run(&["scale", "server", "3"]);
    assert!(
        !said.errors.contains("2 workers of server share"),
        "{said:?}"
    );
}

#[test]
fn a_config_file_with_a_mistake_is_shown_without_empty_lines() {
    let home = Home::new();
    home.file("ecosystem.config.js", "module.exports = { apps: [{");
    let errors = home.fails(&["start"]);
    assert!(
        errors.contains("SyntaxError") || errors.contains("error:"),
        "{errors}"
    );
    for line in errors.lines() {
        assert!(
            !line.trim_start_matches("maitred:").trim().is_empty(),
            "{errors}"
        );
    }
}

#[test]
fn what_restarts_an_app_is_described() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let flags = [
        "--max-memory-restart",
        "200M",
        "--cron-restart",
        "TZ=Asia/Tokyo 0 3 * * *",
    ];
    home.does(&[&["start", "job.sh"], &flags[..]].concat());
    let described = home.does(&["describe", "job"]);
    for (row, value) in [
        ("arguments", "-"),
        ("memory limit", "200.0mb, looked at every second"),
        ("cron restart", "0 3 * * * (Asia/Tokyo)"),
    ] {
        let line = described
            .lines()
            .find(|line| line.trim_start().starts_with(row));
        assert!(line.unwrap().contains(value), "{row}: {described}");
    }
}
