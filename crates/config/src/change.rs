//! A change of some settings of an app: what the flags say is laid over the entry that the app was
//! resolved from, and all of it is resolved again.

use anyhow::bail;

use super::environment::with_own;
use super::field::{Change, Field};
use super::fields::{Entry, FIELDS};
use super::resolve::{Resolved, Surroundings, resolve};
use super::{App, Environment, FilterEnv, Instances};

/// The app with those of its settings changed that an entry has. Its inherited environment stays.
///
/// # Errors
/// If one of them cannot be changed, or does not fit the others.
pub fn changed(app: &App, said: Entry, context: &Surroundings) -> anyhow::Result<Resolved> {
    if let Some(name) = unchangeable(&said) {
        bail!(
            "{name} cannot be changed: the app is known by it; `maitred delete` the app, and \
             `maitred start` it with the other {name}"
        );
    }
    let Some(described) = &app.described else {
        bail!(
            "an earlier version of maitred started this app and did not keep its settings as they \
             were written: `maitred delete` it and `maitred start` it again"
        );
    };
    let mut entry = described.entry.clone();
    // `maitred scale` may have changed the number since.
    entry.instances = Some(Instances::Exactly(app.instances));
    // Another number of instances alone does not make a fork a cluster.
    entry.exec_mode = Some(app.exec_mode);
    let mut said = said;
    // A relative --cwd starts at the current folder, not at that of the config file.
    said.cwd = said.cwd.map(|cwd| context.folder.join(cwd));
    entry.overlay(said);
    let inherited = inherited_by(app, context.inherited);
    let surroundings = Surroundings {
        folder: &described.folder,
        inherited: &inherited,
        env_name: described.env_name.as_deref(),
        processors: context.processors,
    };
    let resolved = resolve(entry, &surroundings)?;
    let app = App {
        name: app.name.clone(),
        namespace: app.namespace.clone(),
        pass_through: app.pass_through,
        ..resolved.app
    };
    Ok(Resolved {
        app,
        force: true,
        ..resolved
    })
}

/// The environment that an app has inherited. Where its own variables hide what was inherited, the
/// caller's are taken.
fn inherited_by(app: &App, callers: &Environment) -> Environment {
    let nothing = FilterEnv::Containing(Vec::new());
    let callers = callers.clone();
    with_own(
        &app.env,
        &app.own_env,
        callers,
        &nothing,
        &Environment::new(),
    )
}

/// A field that is said although the app is known by it.
fn unchangeable(said: &Entry) -> Option<&'static str> {
    let mut fields = FIELDS.iter();
    let said = fields.find(|field| field.change == Change::Never && (field.is_set)(said));
    said.map(|field| field.name)
}

/// The fields in which two descriptions differ and which a supervisor keeps as long as it lives.
pub(super) fn recreating(before: &Entry, after: &Entry) -> Vec<&'static str> {
    // What cannot be written as JSON cannot be kept either.
    let written = |entry: &Entry| serde_json::to_value(entry).unwrap_or_default();
    let (before, after) = (written(before), written(after));
    let differ = |field: &&Field| before.get(field.name) != after.get(field.name);
    FIELDS
        .iter()
        .filter(|field| field.change == Change::Recreate)
        .filter(differ)
        .map(|field| field.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;
    use crate::{ExecMode, Policy};

    fn entry(value: &Value) -> Entry {
        let mut entry = Entry::default();
        for (name, value) in value.as_object().unwrap() {
            let field = FIELDS.iter().find(|field| field.name == name).unwrap();
            assert_eq!(field.set(&mut entry, value), Ok(()), "{name}");
        }
        entry
    }

    fn with_context<T>(of: impl FnOnce(&Surroundings) -> T) -> T {
        of(&Surroundings {
            folder: Path::new("/"),
            inherited: &Environment::from([
                ("PATH".into(), "/usr/bin:/bin".into()),
                ("CALLER".into(), "1".into()),
            ]),
            env_name: None,
            processors: 4,
        })
    }

    fn resolved(fields: &Value) -> App {
        with_context(|context| resolve(entry(fields), context))
            .unwrap()
            .app
    }

    fn change(app: &App, said: &Value) -> anyhow::Result<App> {
        with_context(|context| changed(app, entry(said), context)).map(|it| it.app)
    }

    #[test]
    fn without_a_word_it_stays_as_it_is() {
        let mut app = resolved(&json!({ "script": "/bin/sh", "instances": 3, "watch": true }));
        // What it runs with was said at the first change.
        let again = change(&app, &json!({})).unwrap();
        app.described = again.described.clone();
        assert_eq!(again, app);
    }

    #[test]
    fn other_instances_leave_the_mode_and_a_scale_stays() {
        let mut fork = resolved(&json!({ "script": "/bin/sh" }));
        assert_eq!(fork.exec_mode, ExecMode::Fork);
        fork = change(&fork, &json!({ "instances": 3 })).unwrap();
        assert_eq!((fork.exec_mode, fork.instances), (ExecMode::Fork, 3));
        // As `scale` does it.
        fork.instances = 5;
        let app = change(&fork, &json!({ "kill_timeout": "9s" })).unwrap();
        assert_eq!(app.instances, 5);
        assert_eq!(app.kill_timeout.as_secs(), 9);
    }

    #[test]
    fn what_a_supervisor_keeps_is_named() {
        let before = resolved(&json!({ "script": "/bin/sh", "instances": 2, "queue": 5 }));
        let after = change(
            &before,
            &json!({ "queue": 6, "balance": "least_conn", "args": ["x"] }),
        );
        assert_eq!(
            before.changed_for_good(&after.unwrap()),
            "a changed balance, queue"
        );
    }

    #[test]
    fn changes_add_up() {
        let app =
            resolved(&json!({ "script": "/bin/sh", "log_retain": 3, "cron_restart": "@daily" }));
        let app = change(&app, &json!({ "log_compress": true })).unwrap();
        let app = change(&app, &json!({ "cron_timezone": "Asia/Tokyo" })).unwrap();
        let rotation = app.logs.rotation.unwrap();
        assert_eq!((rotation.count, rotation.gzip), (3, true));
        assert_eq!(app.cron.unwrap().zone, "Asia/Tokyo");
    }

    #[test]
    fn requests_stay_requests() {
        let app = resolved(&json!({ "script": "/bin/sh", "per": "request", "max_concurrency": 3 }));
        let app = change(&app, &json!({ "balance": "sticky" })).unwrap();
        assert_eq!(app.balance.policy, Policy::Sticky);
        assert_eq!(app.requests.as_ref().unwrap().max_concurrency, Some(3));
        let error = format!(
            "{:#}",
            change(&app, &json!({ "max_connections": 5 })).unwrap_err()
        );
        assert!(error.contains("max_concurrency"), "{error}");
    }

    /// What the app has inherited stays, and its own variables go over it.
    #[test]
    fn the_environment_stays() {
        let mut app = resolved(&json!({ "script": "/bin/sh", "env": { "A": "1" } }));
        let of_starter = app.env.remove(std::ffi::OsStr::new("CALLER"));
        assert!(of_starter.is_some());
        app.env.insert("STARTER".into(), "1".into());
        let app = change(&app, &json!({ "env": { "B": "2" }, "port": 80 })).unwrap();
        let expected = [
            ("B", "2"),
            ("PATH", "/usr/bin:/bin"),
            ("PORT", "80"),
            ("STARTER", "1"),
        ];
        let expected = expected.map(|(name, value)| (name.into(), value.into()));
        assert_eq!(app.env, Environment::from(expected));
    }

    #[test]
    fn what_an_earlier_version_kept_cannot_be_changed() {
        let mut app = resolved(&json!({ "script": "/bin/sh" }));
        app.described = None;
        let error = change(&app, &json!({ "kill_timeout": 5 })).unwrap_err();
        assert!(error.to_string().contains("maitred start"), "{error}");
    }
}
