//! Other settings for an app that is there: what flags say of it, and of the rest that it stays as
//! it is. The words that the app was once described with are not kept, only what they came to.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::bail;

use super::app::Balance;
use super::field::Concern;
use super::fields::{Entry, FIELDS};
use super::kind::{Bytes, Millis, Patterns, Schedule, WatchDelay, WatchOptions, Watched, Words};
use super::requests::Per;
use super::resolve::{Resolved, Surroundings, resolve};
use super::{App, Environment, Interpreter, Logs, Restart, Watch, with_own};

/// The app with those of its settings changed that an entry has. What it has inherited stays.
///
/// # Errors
/// If one cannot be changed so, or does not fit.
pub(crate) fn changed(app: &App, said: Entry, context: &Surroundings) -> anyhow::Result<Resolved> {
    if let Some(name) = unchangeable(&said) {
        bail!(
            "{name} stays as it is as long as the app is there: change it in a config file and \
             restart with that, or `maitred delete` and `maitred start` the app"
        );
    }
    if said.args.is_some() && is_command_line(app) {
        bail!("its arguments are part of the command line that it is: start it anew with others");
    }
    let described = described(app, &said);
    let Resolved {
        app: new, warnings, ..
    } = resolve(described, context)?;
    let old = app.clone();
    // Takes the new one where one of these was said.
    macro_rules! either {
        ($($field:ident)|+ => $($part:ident).+) => {
            if $( said.$field.is_some() )||+ { new.$($part).+ } else { old.$($part).+ }
        };
    }
    let own_env: Environment = old.own_env.clone().into_iter().chain(new.own_env).collect();
    let filter_env = either!(filter_env => filter_env);
    let inherited = context.inherited.clone();
    let app = App {
        env: with_own(&old.env, &old.own_env, inherited, &filter_env, &own_env),
        own_env,
        filter_env,
        name: old.name,
        namespace: old.namespace,
        version: new.version,
        script: old.script,
        interpreter: either!(interpreter | interpreter_args | source_map_support => interpreter),
        args: either!(args => args),
        cwd: either!(cwd => cwd),
        instances: either!(instances => instances),
        exec_mode: either!(exec_mode => exec_mode),
        increment_var: either!(increment_var => increment_var),
        instance_var: either!(instance_var => instance_var),
        restart: Restart {
            auto: either!(autorestart => restart.auto),
            autostart: either!(autostart => restart.autostart),
            max_unstable: either!(max_restarts => restart.max_unstable),
            min_uptime: either!(min_uptime => restart.min_uptime),
            pause: either!(restart_delay | exp_backoff_restart_delay => restart.pause),
            stop_exit_codes: either!(stop_exit_codes => restart.stop_exit_codes),
        },
        kill_timeout: either!(kill_timeout => kill_timeout),
        kill_signal: either!(kill_signal => kill_signal),
        treekill: either!(treekill => treekill),
        shutdown_with_message: either!(shutdown_with_message => shutdown_with_message),
        wait_ready: either!(wait_ready => wait_ready),
        listen_timeout: either!(listen_timeout => listen_timeout),
        max_memory: either!(max_memory_restart => max_memory),
        cron: either!(cron_restart | cron_timezone => cron),
        watch: either!(watch | ignore_watch | watch_delay | cwd => watch),
        logs: Logs {
            out: either!(out_file => logs.out),
            err: either!(error_file => logs.err),
            combined: either!(log_file => logs.combined),
            merge: either!(merge_logs => logs.merge),
            disabled: either!(disable_logs => logs.disabled),
            date_format: either!(log_date_format | time => logs.date_format),
            format: either!(log_type => logs.format),
            rotation: either!(
                log_rotate | log_max_size | log_retain | log_compress | log_rotate_interval
                    => logs.rotation
            ),
        },
        pid_file: either!(pid_file => pid_file),
        identity: either!(uid | gid => identity),
        balance: Balance {
            policy: either!(balance => balance.policy),
            queue: either!(queue => balance.queue),
            patience: either!(queue_timeout => balance.patience),
            max_connections: either!(max_connections => balance.max_connections),
        },
        requests: old.requests,
        private_ports: either!(private_ports => private_ports),
        privileged_ports: either!(privileged_ports => privileged_ports),
        pass_through: old.pass_through,
    };
    Ok(Resolved {
        app,
        warnings,
        force: true,
    })
}

/// A field that is said, and by which an app is known or what it is.
fn unchangeable(said: &Entry) -> Option<&'static str> {
    let of_requests = FIELDS
        .iter()
        .find(|field| field.of == Concern::Requests && (field.is_set)(said));
    match said {
        Entry { name: Some(_), .. } => Some("the name"),
        Entry {
            namespace: Some(_), ..
        } => Some("the namespace"),
        Entry { per: Some(_), .. } => Some("per"),
        _ => of_requests.map(|field| field.name),
    }
}

/// Whether the app is a line for a shell, and not a script.
fn is_command_line(app: &App) -> bool {
    let shell = matches!(
        app.script.file_name().and_then(OsStr::to_str),
        Some("sh" | "bash")
    );
    shell && app.interpreter.is_none() && app.args.first().is_some_and(|arg| arg == "-c")
}

/// The entry, with as much of the app as is needed to understand it.
fn described(app: &App, said: &Entry) -> Entry {
    let interpreter = app.interpreter.as_ref();
    let other_interpreter = said.interpreter.is_some() || said.interpreter_args.is_some();
    let interpreter_args = |it: &Interpreter| Words(it.args.clone());
    let watch = app.watch.as_ref();
    let paths = |it: &Watch| match &it.paths[..] {
        [only] if *only == app.cwd => Watched::Folder,
        paths => {
            let shown = |path: &PathBuf| path.to_string_lossy().into_owned();
            Watched::These(paths.iter().map(shown).collect())
        }
    };
    let mut entry = Entry {
        script: Some(app.script.clone().into()),
        name: Some(app.name.clone()),
        namespace: Some(app.namespace.clone()),
        cwd: Some(app.cwd.clone()),
        interpreter: interpreter.map(|it| it.path.to_string_lossy().into_owned()),
        interpreter_args: interpreter
            .filter(|_| !other_interpreter)
            .map(interpreter_args),
        cron_restart: app
            .cron
            .as_ref()
            .map(|cron| Schedule(Some(cron.pattern.clone()))),
        cron_timezone: app.cron.as_ref().map(|cron| cron.zone.clone()),
        watch: watch.map(paths),
        ignore_watch: watch.map(|it| Patterns(it.ignore.clone())),
        watch_delay: watch.map(|it| WatchDelay(it.delay)),
        watch_options: watch.map(|it| WatchOptions {
            ignored: None,
            follow_links: Some(it.follow_links),
        }),
        exec_mode: Some(app.exec_mode),
        per: app.requests.as_ref().map(|_| Per::Request),
        ..Entry::default()
    };
    if let Some(rotation) = &app.logs.rotation {
        entry.log_max_size = Some(Bytes(rotation.size));
        entry.log_retain = Some(rotation.count);
        entry.log_compress = Some(rotation.gzip);
        entry.log_rotate_interval = Some(Millis(rotation.interval));
    }
    entry.overlay(said.clone());
    entry
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    fn entry(value: &Value) -> Entry {
        let mut entry = Entry::default();
        for (name, value) in value.as_object().unwrap() {
            let field = FIELDS.iter().find(|field| field.name == name).unwrap();
            let set = field.set(&mut entry, value);
            assert_eq!(set, Ok(()), "{name}");
        }
        entry
    }

    fn with_context<T>(of: impl FnOnce(&Surroundings) -> T) -> T {
        of(&Surroundings {
            folder: Path::new("/"),
            inherited: &Environment::from([("PATH".into(), "/usr/bin:/bin".into())]),
            env_name: None,
            processors: 4,
        })
    }

    /// An app in which nothing is as it is by default.
    fn app() -> App {
        let entry = entry(&json!({
            "script": "/bin/sh", "args": ["-x"], "cwd": "/usr", "interpreter": "/bin/sh",
            "interpreter_args": ["-e"], "instances": 3, "exec_mode": "cluster", "max_restarts": 5,
            "restart_delay": 70, "min_uptime": 300, "kill_timeout": 50, "listen_timeout": 60,
            "max_memory_restart": "1G", "cron_restart": "0 3 * * *", "cron_timezone": "Asia/Tokyo",
            "watch": true, "ignore_watch": ["a"], "watch_delay": 40, "time": true,
            "out_file": "/o", "error_file": "/e", "log_file": "/l", "pid_file": "/p",
            "log_max_size": "1M", "log_retain": 3, "log_compress": true, "env": { "A": "1" },
            "queue": 7, "queue_timeout": 8, "max_connections": 9, "stop_exit_codes": [3],
            "increment_var": "I", "instance_var": "N", "private_ports": [4], "privileged_ports": [5], "filter_env": ["X"],
        }));
        with_context(|context| resolve(entry, context)).unwrap().app
    }

    fn change(said: &Value) -> anyhow::Result<App> {
        with_context(|context| changed(&app(), entry(said), context)).map(|it| it.app)
    }

    #[test]
    fn without_a_word_it_stays_as_it_is() {
        assert_eq!(change(&json!({})).unwrap(), app());
    }

    #[test]
    fn one_setting_changes_and_no_other() {
        let set = |said: Value, set: fn(&mut App)| {
            let mut expected = app();
            set(&mut expected);
            assert_eq!(change(&said).unwrap(), expected, "{said}");
        };
        set(json!({ "max_memory_restart": "200M" }), |app| {
            app.max_memory = Some(200 << 20);
        });
        // What it would be by default is said too.
        set(json!({ "max_restarts": 16 }), |app| {
            app.restart.max_unstable = 16
        });
        set(json!({ "instances": 1 }), |app| app.instances = 1);
        set(json!({ "args": ["-y"] }), |app| {
            app.args = vec!["-y".into()]
        });
        set(json!({ "interpreter_args": ["-u"] }), |app| {
            app.interpreter.as_mut().unwrap().args = vec!["-u".into()];
        });
        set(json!({ "cron_restart": "0 4 * * *" }), |app| {
            app.cron.as_mut().unwrap().pattern = "0 4 * * *".to_owned();
        });
        set(json!({ "cron_restart": 0 }), |app| app.cron = None);
        set(json!({ "watch": false }), |app| app.watch = None);
        set(json!({ "watch_delay": 90 }), |app| {
            app.watch.as_mut().unwrap().delay = std::time::Duration::from_millis(90);
        });
        set(json!({ "log_retain": 4 }), |app| {
            app.logs.rotation.as_mut().unwrap().count = 4;
        });
        set(json!({ "port": 80 }), |app| {
            app.own_env.insert("PORT".into(), "80".into());
            app.env.insert("PORT".into(), "80".into());
        });
    }

    /// Each flag does something, or is refused.
    #[test]
    fn no_flag_is_dropped() {
        let other = |name: &str| match name {
            "name" | "namespace" | "cron_timezone" => json!("UTC"),
            "cwd" | "tls_cert" | "tls_key" | "access_log" => json!("/tmp"),
            "interpreter" => json!("none"),
            "instances" => json!(2),
            "exec_mode" => json!("fork"),
            "per" => json!("request"),
            "balance" => json!("round_robin"),
            "retry" => json!("idempotent"),
            "access_log_format" | "log_type" => json!("json"),
            "trust_proxy" => json!("10.0.0.0/8"),
            "cron_restart" => json!("1 1 * * *"),
            "watch" => json!(["/b"]),
            "env_file" => json!("/dev/null"),
            "uid" | "gid" => json!(0),
            "autostart" | "autorestart" | "treekill" | "log_rotate" | "log_compress" => {
                json!(false)
            }
            "shutdown_with_message"
            | "wait_ready"
            | "merge_logs"
            | "disable_logs"
            | "proxy_protocol"
            | "half_closed_clients" => json!(true),
            "time" => json!(false),
            "min_uptime" => json!("2s"),
            "kill_signal" => json!("SIGTERM"),
            _ => json!("2"),
        };
        // They have no effect on this app, or are no settings.
        let without = ["env_file", "source_map_support", "force"];
        let flags = FIELDS.iter().filter(|field| !field.flags.is_empty());
        for field in flags.filter(|field| !without.contains(&field.name)) {
            let said = json!({ field.name: other(field.name) });
            if let Ok(changed) = change(&said) {
                assert_ne!(changed, app(), "{said}");
            }
        }
    }

    /// What a supervisor keeps as long as it lives makes the app another one for it, and nothing
    /// else does: the rest is tested with real processes.
    #[test]
    fn supervisors_keep_what_concerns_sockets_and_users() {
        let requests = json!({
            "script": "/bin/sh", "per": "request", "tls_cert": "/c", "tls_key": "/k",
            "access_log": "/l",
        });
        let resolved = |fields: Value| with_context(|it| resolve(entry(&fields), it)).unwrap().app;
        for field in FIELDS {
            let value = match field.name {
                "tls_cert" | "tls_key" => json!(["/x"]),
                "retry" => json!("idempotent"),
                "access_log_format" => json!("json"),
                "trust_proxy" => json!("10.0.0.0/8"),
                "balance" => json!("sticky"),
                "proxy_protocol" | "half_closed_clients" => json!(true),
                "max_head" => json!("50k"),
                "max_fields" => json!(50),
                "uid" | "gid" => json!(0),
                "exec_mode" => json!("fork"),
                "private_ports" => json!([7]),
                _ => json!("5"),
            };
            let base = match field.name {
                "uid" | "gid" => json!({ "script": "/bin/sh" }),
                "max_connections" | "exec_mode" => json!({ "script": "/bin/sh", "instances": 2 }),
                "proxy_protocol" => json!({ "script": "/bin/sh", "per": "request" }),
                _ => requests.clone(),
            };
            let of_supervisor = field.of != Concern::Everything
                || matches!(field.name, "uid" | "gid" | "exec_mode" | "per");
            if !of_supervisor {
                continue;
            }
            let mut changed = base.clone();
            if field.name == "per" {
                changed = json!({ "script": "/bin/sh", "instances": 1 });
            } else {
                changed[field.name] = value;
            }
            let is_root = rustix::process::geteuid().is_root();
            if is_root || !matches!(field.name, "uid" | "gid") {
                let (before, after) = (resolved(base), resolved(changed));
                assert!(!before.can_become(&after), "{}", field.name);
                assert!(before.can_become(&before), "{}", field.name);
            }
        }
        // The port that an app of another user may have is its supervisor's, too.
        for (other_user, kept) in [(true, false), (false, true)] {
            let at = |port: u16| {
                let mut app = resolved(json!({ "script": "/bin/sh", "env": { "PORT": port } }));
                app.identity = other_user.then(|| crate::config::app::Identity {
                    uid: 65534,
                    gid: 65534,
                    groups: Vec::new(),
                });
                app
            };
            assert_eq!(at(80).can_become(&at(443)), kept);
            assert!(at(80).can_become(&at(80)));
        }
    }

    #[test]
    fn the_policy_of_requests_changes() {
        let app = resolved_by_request();
        let said = entry(&json!({ "balance": "sticky" }));
        let changed = with_context(|context| changed(&app, said, context))
            .unwrap()
            .app;
        let mut expected = app.clone();
        expected.balance.policy = crate::config::Policy::Sticky;
        assert_eq!(changed, expected);
        // What limits connections does nothing for it.
        let said = entry(&json!({ "max_connections": 5 }));
        let error = with_context(|context| super::changed(&app, said, context)).unwrap_err();
        assert!(error.to_string().contains("max_concurrency"), "{error}");
    }

    fn resolved_by_request() -> App {
        let entry = entry(&json!({ "script": "/bin/sh", "per": "request", "max_concurrency": 3 }));
        with_context(|context| resolve(entry, context)).unwrap().app
    }

    #[test]
    fn what_it_is_cannot_be_changed() {
        for said in [json!({ "name": "b" }), json!({ "per": "request" })] {
            let error = change(&said).unwrap_err().to_string();
            assert!(error.contains("stays as it is"), "{error}");
        }
    }
}
