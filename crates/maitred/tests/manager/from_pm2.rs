//! Every command and every flag of pm2 7.0.4: each is there, or whoever types it is told what to do
//! instead. The lists are those of pm2's own command line.

use crate::harness::{beside_others, repository};
use crate::home::Home;

/// The commands that are here too, by all their names.
const COMMANDS: [&str; 42] = [
    "start",
    "startOrRestart",
    "startOrReload",
    "startOrGracefulReload",
    "stop",
    "restart",
    "reload",
    "delete",
    "del",
    "scale",
    "update",
    "reset",
    "sendSignal",
    "send",
    "pid",
    "id",
    "ping",
    "kill",
    "list",
    "ls",
    "l",
    "ps",
    "status",
    "jlist",
    "prettylist",
    "describe",
    "desc",
    "info",
    "show",
    "env",
    "logs",
    "log",
    "flush",
    "reloadLogs",
    "save",
    "dump",
    "resurrect",
    "cleardump",
    "startup",
    "unstartup",
    "ecosystem",
    "init",
];

/// Those that are not.
const LEFT_OUT: [&str; 52] = [
    "trigger",
    "deploy",
    "create",
    "profile:mem",
    "profile:cpu",
    "inspect",
    "updatePM2",
    "install",
    "module:install",
    "module:update",
    "module:generate",
    "uninstall",
    "module:uninstall",
    "package",
    "publish",
    "module:publish",
    "set",
    "multiset",
    "get",
    "conf",
    "config",
    "unset",
    "report",
    "link",
    "unlink",
    "monitor",
    "unmonitor",
    "open",
    "plus",
    "register",
    "login",
    "logout",
    "attach",
    "logrotate",
    "slist",
    "sysinfos",
    "imonit",
    "pull",
    "forward",
    "backward",
    "deepUpdate",
    "serve",
    "expose",
    "autoinstall",
    "examples",
    "install-otel",
    "uninstall-otel",
    // Of earlier versions.
    "gracefulReload",
    "softReload",
    "sysmonit",
    "module:install",
    "attach",
];

/// The flags that all commands take, with a value where one follows.
const FLAGS: &[&[&str]] = &[
    &["--silent"],
    &["-s"],
    &["--ext", "js"],
    &["--name", "x"],
    &["-n", "x"],
    &["--mini-list"],
    &["-m"],
    &["--interpreter", "sh"],
    &["--interpreter-args", "-x"],
    &["--node-args", "-x"],
    &["--output", "x"],
    &["-o", "x"],
    &["--error", "x"],
    &["-e", "x"],
    &["--log", "x"],
    &["-l", "x"],
    &["--filter-env", "X"],
    &["--log-type", "json"],
    &["--log-date-format", "YYYY"],
    &["--time"],
    &["--disable-logs"],
    &["--env", "production"],
    &["--update-env"],
    &["-a"],
    &["--force"],
    &["-f"],
    &["--instances", "2"],
    &["-i", "2"],
    &["--parallel", "2"],
    &["--shutdown-with-message"],
    &["--pid", "x"],
    &["-p", "x"],
    &["--kill-timeout", "100"],
    &["-k", "100"],
    &["--listen-timeout", "100"],
    &["--max-memory-restart", "100M"],
    &["--restart-delay", "100"],
    &["--exp-backoff-restart-delay", "100"],
    &["--execute-command"],
    &["-x"],
    &["--max-restarts", "3"],
    &["--user", "root"],
    &["-u", "root"],
    &["--uid", "0"],
    &["--gid", "0"],
    &["--namespace", "x"],
    &["--cwd", "/"],
    &["--hp", "/"],
    &["--wait-ip"],
    &["--service-name", "x"],
    &["-c", "@daily"],
    &["--cron", "@daily"],
    &["--cron-restart", "@daily"],
    &["--write"],
    &["-w"],
    &["--no-daemon"],
    &["--source-map-support"],
    &["--disable-source-map-support"],
    &["--only", "x"],
    &["--wait-ready"],
    &["--merge-logs"],
    &["--watch"],
    &["--ignore-watch", "x"],
    &["--watch-delay", "100ms"],
    &["--no-color"],
    &["--no-vizion"],
    &["--no-autostart"],
    &["--no-autorestart"],
    &["--stop-exit-codes", "1", "2"],
    &["--no-treekill"],
    &["--no-pmx"],
    &["--no-automation"],
    &["--trace"],
    &["--disable-trace"],
    &["--sort", "name:desc"],
    &["--attach"],
    &["--v8"],
    &["--event-loop-inspector"],
    &["--deep-monitoring"],
];

/// The flags that single commands take.
const FLAGS_OF_ONE: &[(&str, &[&str])] = &[
    ("stop", &["--watch"]),
    ("restart", &["--watch"]),
    ("save", &["--force"]),
    ("startup", &["systemd", "-u", "root", "--hp", "/root"]),
    ("unstartup", &["systemd", "-u", "root", "--hp", "/root"]),
    ("ecosystem", &["simple"]),
    (
        "logs",
        &[
            "--lines",
            "5",
            "--err",
            "--nostream",
            "--timestamp",
            "--highlight",
            "x",
            "--raw",
        ],
    ),
    ("logs", &["--out", "--timestamp", "HH:mm", "--json"]),
    ("logs", &["--format"]),
];

/// Those of `start` that are refused.
const REFUSED: [&[&str]; 7] = [
    &["--fresh"],
    &["--daemon"],
    &["--container"],
    &["--dist"],
    &["--image-name", "x"],
    &["--node-version", "20"],
    &["--dockerdaemon"],
];

#[test]
fn each_command_takes_each_flag() {
    let _turn = beside_others();
    let home = Home::new();
    for command in COMMANDS {
        // Its words are meant for the process.
        if command == "send" {
            continue;
        }
        let flags = FLAGS.iter().flat_map(|flag| flag.iter().copied());
        // Everything before is understood, and nothing is done.
        let line: Vec<_> = [command]
            .into_iter()
            .chain(flags)
            .chain(["--help"])
            .collect();
        home.does(&line);
    }
    for (command, flags) in FLAGS_OF_ONE {
        let line = [&[*command], *flags, &["--help"]].concat();
        home.does(&line);
    }
    for flag in ["--version", "-v"] {
        let version = home.does(&[flag]);
        assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    }
}

#[test]
fn what_does_nothing_is_told_of() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    for (line, told) in [
        (
            "start job.sh --no-pmx",
            "--no-pmx does nothing with `start`",
        ),
        ("start job.sh --hp / -f", "--hp does nothing with `start`"),
        (
            "restart job --parallel 2",
            "--parallel does nothing with `restart`",
        ),
        ("restart job --env production", "--env chooses variables"),
        ("reset job -i 3", "--instances does nothing with `reset`"),
        ("stop --watch job", "what is stopped is not watched"),
        ("list -f", "--force does nothing with `list`"),
    ] {
        let line: Vec<_> = line.split(' ').collect();
        let said = home.run(&line);
        assert_eq!(said.code, 0, "{line:?}: {said:?}");
        assert!(said.errors.contains(told), "{line:?}: {said:?}");
        let silent = home.run(&[&line[..], &["--silent"]].concat());
        assert!(!silent.errors.contains(told), "{line:?}: {silent:?}");
    }
}

#[test]
fn who_types_what_is_not_here_is_told_what_to_do() {
    let _turn = beside_others();
    let home = Home::new();
    for command in LEFT_OUT {
        let said = home.fails(&[command, "x"]);
        let expected = format!("there is no `{command}` here: ");
        assert!(said.contains(&expected), "{command}: {said}");
        assert_eq!(said.lines().count(), 1, "{command}: {said}");
    }
    for flag in REFUSED {
        let said = home.run(&[&["start", "app.js"], flag].concat());
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.errors.contains("`maitred run`"), "{said:?}");
    }
    let said = home.run(&["-n", "api", "start", "app.js"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.errors.contains("stands after it"), "{said:?}");
    // What is no command of pm2 either is still told apart from a slip of the finger.
    let said = home.fails(&["lst"]);
    assert!(said.contains("similar"), "{said}");
}

#[test]
fn the_page_names_them_all() {
    let page = std::fs::read_to_string(repository().join("docs/pm2.md")).unwrap();
    for command in COMMANDS.iter().chain(&LEFT_OUT) {
        let of_modules = command.starts_with("module:") && page.contains("`module:*`");
        let profile = command.starts_with("profile:") && page.contains("`profile:*`");
        let named = [format!("`{command}`"), format!("`{command} ")];
        let named = named.iter().any(|name| page.contains(name));
        assert!(named || of_modules || profile, "{command}");
    }
}

#[test]
fn the_mini_list_is_pm2s() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "api", "-m"]);
    let list = home.does(&["ls", "-m"]);
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines[0], "+--- api");
    let pid = format!("pid : {}", home.pids()[0]);
    let log = home.path().join("logs/api-error.log");
    let log = format!("error log : {}", log.display());
    for line in [
        "namespace : default",
        "version : N/A",
        &pid,
        "pm2 id : 0",
        "status : online",
        "mode : fork",
        "restarted : 0",
        &log,
        "watching : no",
    ] {
        assert!(lines.contains(&line), "{line}: {list}");
    }
    assert!(list.ends_with(".pid\n\n"), "{list}");
}
