//! What is wrong in a file is named: the file, the app, the field, and what was expected.

use crate::harness::{Place, at};

/// Values of the wrong kind: the schema refuses them too.
pub(crate) const WRONG_KIND: &[(&str, &str)] = &[
    ("name: 1", "a text, not 1"),
    ("name: {}", "a text, not an object"),
    ("args: 5", "a list of texts, not 5"),
    ("args: [[]]", "not a list whose item 1 is a list"),
    ("cwd: 1", "a path, not 1"),
    ("instances: 'many'", "\"max\""),
    ("instances: 1.5", "not 1.5"),
    ("instances: 5000", "not 5000"),
    ("exec_mode: 'both'", "\"cluster\" or \"fork\", not \"both\""),
    ("autorestart: 'yes'", "true or false, not \"yes\""),
    ("autorestart: 1", "true or false, not 1"),
    ("max_memory_restart: '10 potatoes'", "a size"),
    ("max_memory_restart: true", "a size"),
    ("max_memory_restart: -1", "a size"),
    ("min_uptime: 5", "at least 100 ms"),
    ("restart_delay: 'soon'", "a time"),
    ("restart_delay: -5", "a time"),
    ("max_restarts: -1", "a whole number, not -1"),
    ("max_restarts: 1.5", "a whole number, not 1.5"),
    ("max_restarts: 1e30", "a whole number"),
    ("port: 70000", "0 to 65535"),
    (
        "private_ports: [1, 'x']",
        "not a list whose item 2 is \"x\"",
    ),
    ("private_paths: ['a', 1]", "not a list whose item 2 is 1"),
    ("privileged_ports: [70000]", "whose item 1 is 70000"),
    ("env_file: ['.env', {}]", "whose item 2 is an object"),
    ("trust_proxy: [true]", "whose item 1 is true"),
    ("tls_cert: [true]", "whose item 1 is true"),
    ("ignore_watch: ['a', 'b', 7]", "whose item 3 is 7"),
    ("depends_on: ['db', 3]", "whose item 2 is 3"),
    (
        "depends_on: [{ app: 'x', until: 'never' }]",
        "whose item 1 is an object with until: \"never\"",
    ),
    ("env: 5", "an object of names and values"),
    ("env_x: 5", "an object of names and values"),
    ("env: { 'A=B': 1 }", "not one with the name \"A=B\""),
    ("env: 'secret'", "not a text without ="),
    (
        "env: ['A=1', 'secret']",
        "not a list whose item 2 is a text without =",
    ),
    ("env: ['A=1', 5]", "not a list whose item 2 is 5"),
    ("env: { A: '\\u0000' }", "an object of names and values"),
    ("filter_env: 5", "a part of a name"),
    ("filter_env: ['A', 5]", "whose item 2 is 5"),
    ("watch: 5", "a list of paths"),
    ("watch: ['a', 5]", "whose item 2 is 5"),
    ("watch_options: true", "an object"),
    (
        "watch_options: { usePolling: 1, ignored: ['a', 5] }",
        "not one with ignored: a list whose item 2 is 5",
    ),
    (
        "watch_options: { followSymlinks: 5 }",
        "not one with followSymlinks: 5",
    ),
    ("out_file: 5", "a path"),
    ("log_type: 'xml'", "\"raw\" or \"json\", not \"xml\""),
    ("stop_exit_codes: 'x'", "an exit code"),
    ("stop_exit_codes: [0, 1.5]", "whose item 2 is 1.5"),
    ("balance: 'fairly'", "round_robin"),
    ("kill_signal: 'SIGNOTHING'", "a signal"),
    ("uid: true", "a number or a name"),
];

/// Values of the right kind that do not fit the other fields, or the machine.
pub(crate) const UNFIT: &[(&str, &str)] = &[
    ("cwd: './gone'", "gone: No such file or directory"),
    (
        "interpreter: 'no-such-thing'",
        "no-such-thing is not in PATH",
    ),
    ("cron_restart: 'whenever'", "cron"),
    ("cron_restart: '0 0 30 2 *'", "never comes"),
    (
        "cron_restart: '0 0 * * *', cron_timezone: 'Moon/Base'",
        "Moon/Base",
    ),
    ("client_limit: 5", "needs per: request"),
    ("response_timeout: 5", "needs per: request"),
    ("tls_key: 'k'", "needs per: request"),
    ("access_log_format: 'json'", "needs per: request"),
    (
        "max_connections: 5, per: 'request'",
        "max_concurrency limits the requests",
    ),
    ("queue: 5", "write instances, or exec_mode: cluster"),
    ("per: 'request', exec_mode: 'fork'", "exec_mode: cluster"),
    ("env_file: 'gone.env'", "gone.env"),
];

#[test]
fn values_of_the_wrong_kind() {
    for (field, expected) in WRONG_KIND.iter().chain(UNFIT) {
        // A key that stands twice is an error of its own.
        let named = if field.starts_with("name:") {
            ""
        } else {
            "name: 'it', "
        };
        let text = format!("{{ apps: [{{ script: 'app.sh', {named}{field} }}] }}");
        let error = Place::new().file("a.json", &text).wrong(&["a.json"]);
        assert!(error.contains("a.json"), "{field}: {error}");
        assert!(error.contains("app "), "{field}: {error}");
        assert!(error.contains(expected), "{field}: {error}");
        let name = field.split(':').next().unwrap();
        assert!(
            error.contains(name) || expected.contains("installed"),
            "{field}: {error}"
        );
    }
}

#[test]
fn all_errors_are_told_at_once() {
    let text = "[{ script: 'app.sh', name: 'one', port: 'x' }, { script: 'app.sh', time: 5 }, 7]";
    let error = Place::new().file("a.json", text).wrong(&["a.json"]);
    for part in [
        "3 errors",
        "\"one\": port",
        "time",
        "app 3: expected an object, not 7",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn what_is_no_config() {
    for (text, expected) in [
        ("5", "not 5"),
        ("", "there is nothing in it"),
        ("null", "there is nothing in it"),
        ("'text'", "not \"text\""),
        ("{}", "no apps"),
        ("{ colour: 1 }", "no apps"),
        ("{ apps: 5 }", "apps: expected a list, not 5"),
        ("{ apps: [5] }", "app 1: expected an object, not 5"),
        ("{ name: 'x' }", "no script"),
        ("[{ name: 'x' }]", "no script"),
        (
            "[{ script: 'app.sh' }, { script: 'app.sh' }]",
            "two apps are called \"app\"",
        ),
        ("{ script: 'gone.sh' }", "no such script: gone.sh"),
        ("{ script: './app.xyz' }", "no such script"),
    ] {
        let error = Place::new().file("a.json", text).wrong(&["a.json"]);
        assert!(error.contains(expected), "{text}: {error}");
    }
    let (apps, warnings) = Place::new()
        .file("a.json", "{ apps: [] }")
        .apps(&["a.json"]);
    assert!(apps.is_empty());
    assert!(warnings.contains("its list of apps is empty"), "{warnings}");
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    for (name, text, line) in [
        (
            "a.json",
            "{\n script: 'app.sh',\n \"script\": 'other.sh'\n}",
            "lines 2 and 3",
        ),
        (
            "b.json",
            "[{ script: 'app.sh', env: { A: 1, B: 2,\n A: 3 } }]",
            "lines 1 and 2",
        ),
        ("c.yaml", "script: app.sh\nscript: other.sh\n", "line 2"),
        (
            "d.toml",
            "script = 'app.sh'\nscript = 'other.sh'\n",
            "line 2",
        ),
    ] {
        let error = Place::new().file(name, text).wrong(&[name]);
        assert!(error.contains(line), "{name}: {error}");
    }
}

#[test]
fn unknown_fields_are_warned_of() {
    for (field, expected) in [
        (
            "scirpt: 1",
            "unknown field \"scirpt\"; did you mean script?",
        ),
        ("max_memory_restrat: 1", "did you mean max_memory_restart?"),
        ("instance: 1", "did you mean instances?"),
        ("xyzzy: 1", "unknown field \"xyzzy\"; ignored"),
        ("'a\\u001b[2Jb': 1", "\\u{1b}[2J"),
        ("vizion: false", "vizion does nothing here"),
        ("windowsHide: true", "windowsHide does nothing here"),
        ("reusePort: true", "reusePort does nothing here"),
        ("out_file: '/a', output: '/b'", "are the same field"),
    ] {
        let text = format!("{{ script: 'app.sh', {field} }}");
        let (apps, warnings) = Place::new().file("a.json", &text).apps(&["a.json"]);
        assert_eq!(*at(&apps[0], "name"), "app");
        assert!(warnings.contains(expected), "{field}: {warnings}");
        assert!(warnings.contains("a.json: app"), "{field}: {warnings}");
        assert!(!warnings.contains('\u{1b}'), "{field}: {warnings:?}");
    }
    let text = "{ apps: [{ script: 'app.sh' }], deploy: { production: {} }, extra: 1 }";
    let (_, warnings) = Place::new().file("a.json", text).apps(&["a.json"]);
    assert!(warnings.contains("\"extra\" beside apps"), "{warnings}");
    assert!(!warnings.contains("deploy"), "{warnings}");
}

#[test]
fn what_is_not_watched_as_written_is_warned_of() {
    for (fields, expected) in [
        ("watch: ['gone', '.']", "/gone is not watched"),
        ("watch: 'src/**/*.js'", "*.js is not watched"),
        (
            "watch: true, ignore_watch: ['a[', 'ok']",
            ": ignore_watch: \"a[\" is no pattern",
        ),
        (
            "watch: true, ignore_watch: ['regex:(']",
            ": ignore_watch: \"regex:(\" is no pattern",
        ),
        (
            "watch: true, watch_options: { ignored: ['a['] }",
            ": watch_options.ignored: \"a[\" is no pattern",
        ),
    ] {
        let text = format!("{{ script: 'app.sh', {fields} }}");
        let (_, warnings) = Place::new().file("a.json", &text).apps(&["a.json"]);
        assert!(warnings.contains(expected), "{fields}: {warnings}");
        assert_eq!(warnings.lines().count(), 1, "{fields}: {warnings}");
    }
    // What is ignored says nothing where nothing is watched, and that is told.
    let text = "{ script: 'app.sh', ignore_watch: ['a['] }";
    let (apps, warnings) = Place::new().file("a.json", text).apps(&["a.json"]);
    assert_eq!(*at(&apps[0], "watch"), serde_json::json!(false));
    assert!(
        warnings.contains("ignore_watch has no effect without watch"),
        "{warnings}"
    );
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
}

#[test]
fn secrets_are_not_in_messages() {
    let error = Place::new()
        .file("a.json", "{ script: 'app.sh', env: 'hunter2' }")
        .wrong(&["a.json"]);
    assert!(!error.contains("hunter2"), "{error}");
    for (name, text) in [
        ("a.toml", "[env]\nTOKEN = \"hunter2\n"),
        ("a.yaml", "env:\n  TOKEN: \"hunter2\n"),
        ("a.yaml", "env:\n  TOKEN: hunter2\n bad: [\n"),
        ("a.json", "{ env: { TOKEN: 'hunter2' 5 } }"),
        ("a.json", "{ env: { TOKEN: 'hunter2"),
    ] {
        let error = Place::new().file(name, text).wrong(&[name]);
        assert!(!error.contains("hunter2"), "{name}: {error}");
    }
}

/// pm2's own file server is not here, and another program of that name would serve something else.
#[test]
fn a_file_server_of_pm2_is_refused() {
    let text = "{ script: 'serve', env: { PM2_SERVE_PATH: 'public', PM2_SERVE_PORT: 8080 } }";
    let place = Place::new().file("a.json", text).file("serve", "");
    let error = place.wrong(&["a.json"]);
    assert!(error.contains("pm2's own file server"), "{error}");
    assert!(error.contains("the folder and the port in args"), "{error}");
}

#[test]
fn a_commonjs_file_that_node_takes_for_an_es_module_says_so() {
    let place = Place::new()
        .runtimes(&["node"])
        .file("package.json", "{ \"type\": \"module\" }")
        .file(
            "ecosystem.config.js",
            "module.exports = { script: 'app.sh' };",
        );
    let error = place.wrong(&["ecosystem.config.js"]);
    assert!(error.contains("'.cjs' file extension"), "{error}");
}
