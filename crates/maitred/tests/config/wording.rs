//! What maitred says to config files that are wrong, in a file: a change of wording shows in review.

use std::fmt::Write;
use std::fs;

use config::FIELDS;

use crate::errors::{UNFIT, WRONG_KIND};
use crate::harness::Place;
use crate::snapshot::is_as_kept;

/// Files that hold no apps, or cannot be read: name and text.
const FILES: &[(&str, &str)] = &[
    ("a.json", ""),
    ("a.json", "5"),
    ("a.json", "{}"),
    ("a.json", "{ apps: 5 }"),
    ("a.json", "{ apps: [] }"),
    ("a.json", "{ apps: [5] }"),
    ("a.json", "{ name: 'x' }"),
    ("a.json", "{ script: 'app.sh', port: 'x', time: 5 }"),
    ("a.json", "[{ script: 'app.sh' }, { script: 'app.sh' }]"),
    ("a.json", "{ script: 'app.sh',\n script: 'b.sh' }"),
    ("a.json", "{ script: 'app.sh' 'b.sh' }"),
    ("a.json", "{ script: 'app.sh"),
    ("a.json", "module.exports = { script: 'app.sh' }"),
    ("a.json", "{ script: require('path').join('a', 'b') }"),
    ("a.yaml", "script: app.sh\nscript: b.sh\n"),
    ("a.yaml", "script: [\n"),
    ("a.yaml", "script: app.sh\n  name: it\n"),
    ("a.toml", "script = 'app.sh'\nscript = 'b.sh'\n"),
    ("a.toml", "script = app.sh\n"),
    ("a.txt", "script: app.sh\n"),
];

/// Files that are programs, and what of it is maitred's own words: name, text, and the runtimes in PATH.
const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("a.config.js", "", &[]),
    ("a.config.ts", "", &[]),
    ("a.config.js", "process.exit(0)", &["node"]),
    ("a.config.js", "process.exit(3)", &["node"]),
    ("a.config.js", "module.exports = 5", &["node"]),
    ("a.config.js", "module.exports = undefined", &["node"]),
    ("a.config.js", "module.exports = () => {}", &["node"]),
    ("a.config.js", "module.exports = async () => {}", &["node"]),
    (
        "a.config.js",
        "module.exports = { apps: () => [] }",
        &["node"],
    ),
    ("a.config.js", "module.exports = [() => {}]", &["node"]),
    (
        "a.config.js",
        "module.exports = 'x'.repeat(5 << 20)",
        &["node"],
    ),
    (
        "a.config.js",
        "module.exports = { script: 'app.sh', name: () => 1, port: NaN }",
        &["node"],
    ),
];

/// What does not fit the other fields or the machine, beside what `errors` has: it stands between the
/// braces of an app after its script and its name.
const MORE: &[&str] = &[
    "cwd: 'app.sh'",
    "script: ''",
    "script: 'gone.js'",
    "script: 'gone'",
    "script: '.'",
    "script: '/dev/null'",
    "script: 'notes'",
    "script: 'notes.xyz'",
    "script: 'first-line'",
    "script: 'app.js'",
    "script: 'app.ts'",
    "script: 'app.py'",
    "script: 'serve', env: { PM2_SERVE_PATH: '.' }",
    "interpreter: 'node@x'",
    "interpreter: 'node@20'",
    "interpreter: 'bash', script: 'gone.sh'",
    "script: './static', instances: 2, per: 'request'",
    "script: './static', instances: 2, max_connections: 5",
    "name: 'all'",
    "name: '  '",
    "name: '-x'",
    "name: 'a\\nb'",
    "namespace: 'all'",
    "cron_restart: '* *'",
    "cron_restart: 'TZ=UTC'",
    "cron_restart: '99 * * * *'",
    "uid: 'no-such-user'",
    "gid: 'no-such-group'",
    "uid: 4000000000",
    "instances: 2, balance: 'sticky'",
    "instances: 2, queue: 0",
    "queue: 5, exec_mode: 'fork', instances: 2",
    "per: 'request', max_head: 5",
    "per: 'request', max_fields: 5",
    "per: 'request', instance_header: 'X Y'",
    "per: 'request', trust_proxy: 'everyone'",
    "per: 'request', tls_cert: 'a.pem'",
    "per: 'request', tls_key: 'a.pem'",
    "per: 'request', tls_cert: 'a.pem', tls_key: 'b.pem', proxy_protocol: true",
    "per: 'request', tls_cert: ['a.pem', 'b.pem'], tls_key: 'b.pem'",
    "per: 'request', access_log_format: 'json'",
    "metrics: 'here'",
    "metrics: '0'",
    "env_file: '.'",
    "env_file: 'binary.env'",
    "env_file: 'nul.env'",
];

/// What is taken with a warning.
const WARNED: &[&str] = &[
    "scirpt: 1",
    "xyzzy: 1",
    "vizion: false",
    "health_check_url: '/'",
    "out_file: '/a', output: '/b'",
    "ignore_watch: ['a']",
    "watch: 'src/**/*.js'",
    "watch: ['gone', '.']",
    "watch: true, ignore_watch: ['a[']",
    "watch: true, ignore_watch: ['regex:(']",
    "watch: true, watch_options: { ignored: ['a['] }",
    "env_file: 'odd.env'",
    "cron_timezone: 'UTC'",
    "script: 'echo a b', interpreter: 'node'",
];

/// A folder with what the tables name.
fn folder() -> Place {
    let mut elf = "\u{7f}ELF\u{2}\u{1}".to_owned();
    elf.push_str(&"\0".repeat(58));
    let place = Place::new()
        .file("static", &elf)
        .file("notes", "")
        .file("notes.xyz", "")
        .file("first-line", "#!/usr/bin/env no-such-program\n")
        .file("app.js", "")
        .file("app.ts", "")
        .file("app.py", "")
        .file("nul.env", "A=1\nB=\0\n")
        .file("odd.env", "A=1\nnothing\nB=\"c\n");
    fs::write(place.path("binary.env"), b"A=1\nB=\xff\n").unwrap();
    place.executable("static");
    place
}

/// Adds what maitred says to this command line, as it would stand on a terminal.
fn add(text: &mut String, place: &Place, args: &[&str]) {
    let ended = place.maitred(args);
    let (here, runs) = (place.path(""), format!("maitred {}", args.join(" ")));
    let here = here.to_str().unwrap().trim_end_matches('/');
    let _ = writeln!(text, "$ {}  # exit code {}", runs.trim_end(), ended.code);
    let said = if ended.code == 0 {
        ended.errors
    } else {
        ended.output + &ended.errors
    };
    let said = if said.is_empty() {
        "(nothing)\n"
    } else {
        &said
    };
    let _ = writeln!(text, "{}", said.replace(here, "/app"));
}

#[test]
fn errors_of_config_files_are_as_the_snapshot_has_them() {
    let mut text = String::new();
    for (name, content) in FILES {
        let _ = writeln!(text, "# {name}: {}", content.replace('\n', "\\n"));
        add(&mut text, &folder().file(name, content), &["check", name]);
    }
    for (name, content, runtimes) in PROGRAMS {
        let _ = writeln!(
            text,
            "# {name}: {}, with {}",
            content.replace('\n', "\\n"),
            runtimes.first().unwrap_or(&"no runtime")
        );
        let place = folder().runtimes(runtimes).file(name, content);
        add(&mut text, &place, &["check", name]);
    }
    // Every field with what it does not take.
    let fields = FIELDS
        .iter()
        .filter(|field| !["env", "watch_options"].contains(&field.name));
    let objects = fields.map(|field| format!("{}: {{}}", field.name));
    let others = ["env: 5", "watch_options: 5", "env_x: 5"].map(str::to_owned);
    let mut fields: Vec<_> = objects.chain(others).collect();
    // Whether a map keeps the order of a file depends on what else is compiled along.
    fields.sort();
    let app = format!("{{ {} }}", fields.join(", "));
    text.push_str("# a.json: every field with a value of the wrong kind\n");
    add(
        &mut text,
        &folder().file("a.json", &app),
        &["check", "a.json"],
    );
    let pairs = WRONG_KIND.iter().chain(UNFIT).map(|(fields, _)| *fields);
    for fields in pairs
        .chain(MORE.iter().copied())
        .chain(WARNED.iter().copied())
    {
        let mut app = fields.to_owned();
        for (field, value) in [("name", "it"), ("script", "app.sh")] {
            if !app.starts_with(&format!("{field}:")) && !app.contains(&format!(" {field}:")) {
                app = format!("{field}: '{value}', {app}");
            }
        }
        let _ = writeln!(text, "# a.json: {{ {app} }}");
        let place = folder()
            .runtimes(&[])
            .file("a.json", &format!("{{ {app} }}"));
        add(&mut text, &place, &["check", "a.json"]);
    }
    is_as_kept("config_errors.txt", &text, "wording");
}
