//! Its commands.

use std::fs;

use serde_json::{Value, json};

use super::ComesTo::{Different, Same};
use super::{Row, STAYS};
use crate::beside_pm2::Manager;
use crate::home::ended;

/// A server that fails at its start when a file is there.
const FRAGILE: &str = "
if (require('fs').existsSync('broken')) process.exit(1);
require('http').createServer((_, answer) => answer.end('x')).listen(process.env.PORT);
";

fn row(cell: &'static str, comes_to: super::ComesTo, tries: fn(&Manager<'_>) -> Value) -> Row {
    Row {
        cell,
        tries,
        comes_to,
    }
}

pub(super) fn rows() -> Vec<Row> {
    [starts(), changes(), looks()]
        .into_iter()
        .flatten()
        .collect()
}

fn starts() -> Vec<Row> {
    let online = |number: u32, name: &str| json!([number, name, "online"]);
    vec![
        row("`start <script>`", Same(json!([0, 1, 1])), |it| {
            json!([it.code("start app.js"), it.code("start app.js"), it.count()])
        }),
        row(
            "`start <script> -f`",
            Different(json!([0, 1]), json!([0, 2])),
            |it| {
                it.code("start app.js");
                json!([it.code("start app.js -f"), it.count()])
            },
        ),
        row(
            "`start <config file>`, `start -`",
            Different(json!([1, 1, 0, 2, 1, 1]), json!([1, 1, 0, 1, 1, 1])),
            |it| {
                let file = |instances: u32| {
                    let bad = json!({ "name": "bad", "script": "gone.js" });
                    let good = json!({ "name": "good", "script": "app.js", "exec_mode": "cluster",
                        "instances": instances });
                    it.home.file("apps.json", &json!([bad, good]).to_string());
                    it.home.file("good.json", &json!([good]).to_string());
                };
                file(1);
                let code = it.code("start apps.json");
                let count = it.count();
                file(2);
                let again = it.code("start good.json");
                let scaled = it.count();
                let more = ["restart apps.json", "reload apps.json"].map(|line| it.code(line));
                json!([code, count, again, scaled, more[0], more[1]])
            },
        ),
        row(
            "`start <name>`, `<id>`, `<namespace>`, `all`",
            Different(json!([0, 0]), json!([0, 1])),
            |it| {
                it.code("start app.js");
                json!([it.code("start app"), it.restarts()])
            },
        ),
        row(
            "`start` without a target",
            Same(json!([0, [online(0, "usual")]])),
            |it| {
                let file = "module.exports = [{ name: 'usual', script: 'app.js' }]";
                it.home.file("ecosystem.config.js", file);
                json!([it.code("start"), it.list()])
            },
        ),
        row(
            "`startOrRestart`, `startOrReload`, `startOrGracefulReload`",
            Same(json!([0, 0, 0, [online(0, "it")], 2])),
            |it| {
                it.home
                    .file("it.json", r#"[{ "name": "it", "script": "app.js" }]"#);
                let lines = ["startOrRestart", "startOrReload", "startOrGracefulReload"];
                let codes = lines.map(|line| it.code(&format!("{line} it.json")));
                json!([codes[0], codes[1], codes[2], it.list(), it.restarts()])
            },
        ),
    ]
}

fn changes() -> Vec<Row> {
    vec![
        row(
            "`restart --update-env`",
            Different(json!([true, false]), json!([true, true])),
            |it| {
                let has = || {
                    let path = format!("/proc/{}/environ", it.app()["pid"]);
                    fs::read_to_string(path).unwrap().contains("MARK=1")
                };
                let mut start = it.command(&["start", "app.js"]);
                start.env("MARK", "1");
                ended(start);
                let before = has();
                it.does(&["restart", "app", "--update-env"]);
                json!([before, has()])
            },
        ),
        row(
            "`restart <name> --max-memory-restart …`, `-- args`, also with `reload` and `start <name>`",
            Different(
                json!([200 << 20, ["one"], 2]),
                json!([200 << 20, ["one"], 1]),
            ),
            |it| {
                it.code("start app.js -i 1");
                it.code("restart app --max-memory-restart 200M -i 2 -- one");
                let env = &it.app()["pm2_env"];
                json!([env["max_memory_restart"], env["args"], it.count()])
            },
        ),
        row(
            "`reload`",
            Different(json!([1, true]), json!([0, false])),
            |it| {
                it.home.file("server.js", FRAGILE);
                it.code("start server.js -i 1");
                let before = it.app()["pid"].clone();
                let broken = it.home.file("broken", "");
                let code = it.code("reload server");
                let same = it.app()["pid"] == before;
                fs::remove_file(broken).unwrap();
                json!([code, same])
            },
        ),
        row("`delete`, `del`", Same(json!([0, 0, 0, 1])), |it| {
            it.code("start app.js");
            let first = it.code("delete app");
            it.code("start app.js");
            json!([first, it.code("del app"), it.count(), it.code("del app")])
        }),
        row(
            "`scale <app> N`, `+N`, `-N`",
            Different(
                json!([[0, 1], [0, 1, 3], 1, 3]),
                json!([[1, 2], [1, 2, 3], 0, 0]),
            ),
            |it| {
                let numbers = || -> Value {
                    let all = it.all();
                    all.iter().map(|one| one["pm_id"].clone()).collect()
                };
                it.code("start app.js -i 3");
                it.code("scale app 2");
                let down = numbers();
                it.code("scale app +1");
                json!([down, numbers(), it.code("scale app 0"), it.count()])
            },
        ),
        row(
            "`kill`",
            Different(json!([0, 0, 1]), json!([0, 0, 0])),
            |it| {
                it.code("start app.js");
                let code = it.code("kill");
                let left = it.count();
                it.code("resurrect --killed");
                json!([code, left, it.count()])
            },
        ),
        row(
            "`save`, `dump`",
            Different(
                json!([0, 1, true, false, 0, 0]),
                json!([0, 1, false, true, 0, 0]),
            ),
            |it| {
                it.code("start app.js");
                it.code("save");
                it.code("delete all");
                // There is nothing, so it is not written over.
                let code = it.code("save");
                it.code("resurrect");
                let back = it.count();
                let is_there = |path: std::path::PathBuf| path.exists();
                let ours = is_there(it.home.path().join("dump.json")) && !it.pm2;
                let theirs = is_there(it.home.folder().join("pm2/dump.pm2")) && it.pm2;
                it.code("delete all");
                let forced = it.code("save --force");
                it.code("resurrect");
                json!([code, back, ours, theirs, forced, it.count()])
            },
        ),
        row("`cleardump`", Same(json!([0, 0])), |it| {
            it.code("start app.js");
            it.code("save");
            it.code("delete all");
            let code = it.code("cleardump");
            it.code("resurrect");
            json!([code, it.count()])
        }),
    ]
}

fn looks() -> Vec<Row> {
    vec![
        row(
            "`reset`, `pid`, `id`, `ping`",
            Same(json!([0, 0, true, 0, 0, 1, 0, 0])),
            |it| {
                it.code("start app.js");
                it.code("restart app");
                let reset = it.code("reset app");
                let restarts = it.restarts();
                let pid = ended(it.command(&["pid", "app"])).output;
                let pid = pid.trim().parse::<i64>();
                let same = pid.is_ok_and(|pid| it.app()["pid"] == pid);
                let gone = ["reset gone", "pid gone", "id gone"].map(|line| it.code(line));
                json!([
                    reset,
                    restarts,
                    same,
                    it.code("id app"),
                    it.code("ping"),
                    gone[0],
                    gone[1],
                    gone[2]
                ])
            },
        ),
        row(
            "`sendSignal`, `send`",
            Different(json!([0, 0, 1, 1]), json!([0, 0, 0, 1])),
            |it| {
                it.code("start app.js");
                let running = ["sendSignal SIGWINCH app", "send 0 line"].map(|line| it.code(line));
                it.code("stop app");
                let stopped = ["sendSignal SIGWINCH app", "send 0 line"].map(|line| it.code(line));
                json!([running[0], running[1], stopped[0], stopped[1]])
            },
        ),
        row("`env <id>`", Same(json!([0, true, 1])), |it| {
            let mut start = it.command(&["start", "app.js"]);
            start.env("MARK", "1");
            ended(start);
            let said = ended(it.command(&["env", "0"]));
            // pm2 colours values, also for a pipe.
            let said_plainly = said
                .output
                .replace("\u{1b}[32m", "")
                .replace("\u{1b}[39m", "");
            let has = said_plainly.lines().any(|line| line == "MARK: 1");
            json!([said.code, has, it.code("env 9")])
        }),
        row("`logs`, `log`", Same(json!([true, true, false])), |it| {
            let script = "console.log('out'); console.error('err'); console.log('done');";
            it.home.file("talks.js", &format!("{script}{STAYS}"));
            it.code("start talks.js --merge-logs -o out.log -e err.log");
            let out = it.file("out.log");
            let err = it.file("err.log");
            assert!(out.contains("out") && err.contains("err"));
            let shown = |flags: &[&str]| {
                let words = [&["logs", "talks", "--nostream", "--raw"], flags].concat();
                let said = ended(it.command(&words));
                said.output + &said.errors
            };
            let all = shown(&["--lines", "20"]);
            let only = shown(&["--lines", "20", "--err"]);
            fs::remove_file(it.home.folder().join("out.log")).unwrap();
            fs::remove_file(it.home.folder().join("err.log")).unwrap();
            let lacks = only.lines().any(|line| line == "done");
            json!([
                all.contains("err"),
                all.lines().any(|it| it == "done"),
                lacks
            ])
        }),
        row("`flush`, `reloadLogs`", Same(json!([0, 0, 0, 0])), |it| {
            it.code("start app.js -o out.log");
            assert!(it.file("out.log").contains("up"));
            let flushed = it.code("flush app");
            let left = fs::metadata(it.home.folder().join("out.log"))
                .unwrap()
                .len();
            json!([flushed, left, it.code("flush gone"), it.code("reloadLogs")])
        }),
        row(
            "`init`, `ecosystem`",
            Different(json!([1, true]), json!([0, false])),
            |it| {
                let path = it.home.file("ecosystem.config.js", "// mine\n");
                let code = it.code("init");
                json!([code, fs::read_to_string(path).unwrap() == "// mine\n"])
            },
        ),
    ]
}
