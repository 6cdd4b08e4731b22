//! The commands of pm2 that are not here, and what takes their place.

/// What to do instead of a command of pm2; `None` for what is no command of pm2 either.
pub(super) fn instead(name: &str) -> Option<&'static str> {
    let found = INSTEAD.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, instead)| *instead)
}

/// Commands with their other names.
const INSTEAD: [(&[&str], &str); 14] = [
    (
        &["gracefulReload", "softReload"],
        "`maitred reload` is graceful",
    ),
    (
        &["imonit", "sysmonit"],
        "`maitred monit` shows apps, what they use and serve, and what they write",
    ),
    (
        &["attach"],
        "`maitred send` writes a line to a process, `maitred logs` shows what it writes",
    ),
    (
        &["updatePM2", "deepUpdate"],
        "`maitred update` puts this version under all apps that run",
    ),
    (
        &["deploy"],
        "let git and ssh do it, and `maitred startOrReload ecosystem.config.js` at its end",
    ),
    (
        &["serve", "expose"],
        "a web server is a program like any other: `maitred start \"npx serve dist\"`",
    ),
    (
        &[
            "install",
            "module:install",
            "uninstall",
            "module:uninstall",
            "module:update",
            "module:generate",
            "module:publish",
            "publish",
            "package",
            "install-otel",
            "uninstall-otel",
        ],
        "there are no modules; rotation of logs is built in (the fields log_max_size, log_retain \
         and so on)",
    ),
    (
        &["set", "get", "multiset", "unset", "conf", "config"],
        "there are no settings outside of apps; those of apps stand in a config file, and \
         `maitred init` writes one",
    ),
    (
        &[
            "link",
            "unlink",
            "monitor",
            "unmonitor",
            "open",
            "plus",
            "register",
            "login",
            "logout",
            "trigger",
        ],
        "it belongs to Keymetrics",
    ),
    (
        &["profile:mem", "profile:cpu", "inspect"],
        "the runtime does it: start the app with `--node-args --cpu-prof`, or with `--node-args \
         --inspect` and its port as `--private-port`",
    ),
    (
        &["pull", "forward", "backward"],
        "let git do it, and then `maitred reload`",
    ),
    (&["create"], "`maitred init` writes a config file"),
    (
        &["examples", "autoinstall"],
        "`maitred --help` shows the commands, and `maitred COMMAND --help` each one's flags",
    ),
    (
        &["slist", "sysinfos", "report", "logrotate"],
        "`maitred jlist` and `maitred describe` show apps, the system's tools the system; logs are \
         rotated without it",
    ),
];
