//! docs/pm2.md, row by row: the same steps with maitred and with pm2 itself. What the page calls the same
//! is the same; what it calls different is as it says, of both.

mod commands;
mod fields;
mod habits;

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::beside_pm2::Manager;
use crate::harness::{beside_others, repository};
use crate::home::{Home, ended};
use crate::wait::until;

/// A row of the page, by its first cell, and what comes of the same steps.
pub(crate) struct Row {
    cell: &'static str,
    tries: fn(&Manager<'_>) -> Value,
    comes_to: ComesTo,
}

/// What both of them come to.
pub(crate) enum ComesTo {
    /// The same, and this.
    Same(Value),
    /// This with maitred, and this with pm2.
    Different(Value, Value),
}

/// Something that stays up.
const STAYS: &str = "console.log('up'); setInterval(() => {}, 1e6);";

impl Manager<'_> {
    /// Runs a line of words; the exit code.
    fn code(&self, line: &str) -> i32 {
        let words: Vec<_> = line.split(' ').collect();
        ended(self.command(&words)).code
    }

    /// All instances: number, name and status.
    fn list(&self) -> Value {
        let all = self.all();
        let all = all.iter().map(|it| {
            let status = &it["pm2_env"]["status"];
            json!([it["pm_id"], it["name"], status])
        });
        all.collect()
    }

    fn all(&self) -> Vec<Value> {
        let said = ended(self.command(&["jlist"])).output;
        let start = said.find("[{").or_else(|| said.find("[]")).unwrap();
        serde_json::from_str(said[start..].trim()).unwrap()
    }

    fn count(&self) -> usize {
        self.all().len()
    }

    /// Waits until the first app's status is one of these; which, and its restarts.
    fn becomes(&self, statuses: &[&str]) -> Value {
        until(&format!("{statuses:?}"), || {
            let app = self.app();
            let is = app["pm2_env"]["status"].as_str().unwrap();
            let restarts = &app["pm2_env"]["restart_time"];
            statuses.contains(&is).then(|| json!([is, restarts]))
        })
    }

    /// What a file of the folder has when it is not empty any more.
    fn file(&self, name: &str) -> String {
        let path = self.home.folder().join(name);
        until(&format!("a line in {name}"), || {
            let text = fs::read_to_string(&path).ok();
            text.filter(|text| text.ends_with('\n'))
        })
    }
}

/// Tries rows with both, in a folder of their own each.
fn try_all(rows: &[Row]) {
    let _turn = beside_others();
    let mut untrue = Vec::new();
    for row in rows {
        let home = Home::new();
        home.file("app.js", STAYS);
        let [here, there] = [false, true].map(|pm2| {
            let manager = Manager { home: &home, pm2 };
            eprintln!("{}: {}", if pm2 { "pm2" } else { "maitred" }, row.cell);
            let found = (row.tries)(&manager);
            manager.code("delete all");
            found
        });
        let (ours, theirs) = match &row.comes_to {
            ComesTo::Same(both) => (both, both),
            ComesTo::Different(ours, theirs) => (ours, theirs),
        };
        for (who, found, expected) in [("maitred", here, ours), ("pm2", there, theirs)] {
            if found != *expected {
                untrue.push(format!("{who}: {}: {found}, not {expected}", row.cell));
            }
        }
    }
    assert_eq!(untrue, [""; 0]);
}

#[test]
fn commands_do_what_the_page_says() {
    try_all(&commands::rows());
}

#[test]
fn fields_mean_what_the_page_says() {
    try_all(&fields::rows());
}

#[test]
fn habits_are_as_the_page_says() {
    try_all(&habits::rows());
}

/// Rows that other tests show, by the test's name, or that say of pm2 only what it has.
const ELSEWHERE: &[(&str, &str)] = &[
    ("`stop`", "drains, lifecycle"),
    ("`restart`", "drains"),
    ("`gracefulReload`, `softReload`", "from_pm2"),
    ("`list`, `ls`, `l`, `ps`, `status`", "inspect"),
    ("`jlist`", "beside_pm2, inspect"),
    ("`prettylist`", "inspect"),
    ("`describe`, `show`, `info`, `desc`", "inspect"),
    ("`resurrect`", "boot"),
    ("`startup`, `unstartup`", "boot"),
    ("`completion`", "config/flags"),
    ("`start --no-daemon`", "foreground"),
    ("–", "new here"),
    ("`attach`", "from_pm2"),
    ("`monit`", "monit"),
    ("`dashboard`, `dash`", "dashboard"),
    ("`imonit`, `sysmonit`", "from_pm2"),
    ("`update`", "updates"),
    ("`updatePM2`, `deepUpdate`", "from_pm2"),
    ("`deploy`", "from_pm2"),
    ("`serve`, `expose`", "from_pm2"),
    (
        "`install`, `uninstall`, `module:*`, `publish`, `package`, `install-otel`, `uninstall-otel`",
        "from_pm2",
    ),
    (
        "`set`, `get`, `multiset`, `unset`, `conf`, `config`",
        "from_pm2",
    ),
    (
        "`link`, `unlink`, `monitor`, `unmonitor`, `open`, `plus`, `login`, `logout`, `register`, `trigger`, `profile:*`, `report`",
        "from_pm2",
    ),
    ("`pull`, `forward`, `backward`", "from_pm2"),
    (
        "`inspect`, `create`, `examples`, `autoinstall`, `slist`, `sysinfos`, `logrotate`",
        "from_pm2",
    ),
    (r#"`script: "serve"` with `PM2_SERVE_*`"#, "config/errors"),
    (
        "`interpreter`, `interpreter_args`, `node_args`",
        "config/interpreters",
    ),
    ("`exec_mode: cluster`", "lifecycle"),
    ("`max_memory_restart`", "renewal"),
    ("`cron_restart`", "renewal"),
    (
        "`watch`, `ignore_watch`, `watch_delay`, `watch_options`",
        "renewal",
    ),
    ("`treekill`", "lifecycle"),
    (
        "lines written right before `process.exit`",
        "end_to_end/output, logs",
    ),
    ("`uid`, `gid`, `user`", "identity"),
    ("`source_map_support`, `force`", "changes"),
    (
        "`vizion`, `pmx`, `automation`, `trace`, `disable_trace`, `deep_monitoring`, `km_link`",
        "config/errors",
    ),
    ("`deploy.*.env`", "config/errors"),
    (
        "an app that forks with `node:cluster` itself",
        "end_to_end/clusters",
    ),
    (
        "a child process that listens where its parent listens",
        "end_to_end/children",
    ),
    (
        "`pm2-runtime ecosystem.config.js`, `pm2-runtime start …`",
        "foreground",
    ),
    ("`pm2-runtime app.js`", "foreground"),
    ("several apps", "foreground"),
    ("log files, off unless named", "foreground"),
    (
        "`--no-auto-exit`, `--delay`, `--web`, `--secret`, `--public`, `--machine-name`",
        "left out",
    ),
    ("`--json`, `--format`, `--raw`, `--formatted`", "left out"),
];

/// Each row is tried, here or elsewhere, and has the word that it deserves.
#[test]
fn no_row_is_left_out() {
    let page = fs::read_to_string(repository().join("docs/pm2.md")).unwrap();
    let cells = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
        .filter(|(cell, _)| !["pm2", "pm2-runtime"].contains(cell))
        .collect::<Vec<_>>();
    let rows = [commands::rows(), fields::rows(), habits::rows()];
    for row in rows.iter().flatten() {
        let found = cells.iter().find(|(cell, _)| *cell == row.cell);
        let (_, rest) = found.unwrap_or_else(|| panic!("no row {}", row.cell));
        let same = matches!(row.comes_to, ComesTo::Same(_));
        assert_eq!(rest.starts_with("same"), same, "{}", row.cell);
    }
    let tried = rows.iter().flatten().map(|row| row.cell);
    let known: BTreeSet<_> = tried.chain(ELSEWHERE.iter().map(|it| it.0)).collect();
    let all: BTreeSet<_> = cells.iter().map(|(cell, _)| *cell).collect();
    assert_eq!(known, all);
}
