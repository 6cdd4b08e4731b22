//! The promises of the table of fields, shown for every row: in each mode a field takes effect or is
//! refused with its reason, a change takes effect as the row says, and values of the table's
//! examples are what the schema says.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::field::{Category, Change, Field, Needs};
use super::fields::{Entry, FIELDS};
use super::names;
use super::resolve::{Resolved, Surroundings, resolve};
use super::schema::example;
use super::written::HELD_BY_OTHERS;
use super::{App, Environment, changed};

/// A folder with what the examples name.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        for sub in ["bin", "api", "web"] {
            fs::create_dir(folder.path().join(sub)).unwrap();
        }
        for program in ["bin/node", "bin/bun"] {
            write(program, "#!/bin/sh\n");
        }
        for script in ["server.js", "worker.js"] {
            write(script, "#!/usr/bin/env node\n");
            for sub in ["api", "web"] {
                write(&format!("{sub}/{script}"), "#!/usr/bin/env node\n");
            }
        }
        write(".env", "FROM=env\n");
        write(".env.local", "FROM=local\n");
        Self(folder)
    }

    fn with_context<T>(&self, of: impl FnOnce(&Surroundings) -> T) -> T {
        let path = format!("{}:/usr/bin:/bin", self.0.path().join("bin").display());
        of(&Surroundings {
            folder: self.0.path(),
            inherited: &Environment::from([
                ("PATH".into(), path.into()),
                ("AWS_KEY".into(), "1".into()),
            ]),
            env_name: Some("production"),
            processors: 64,
        })
    }

    fn resolve(&self, fields: &Map<String, Value>) -> anyhow::Result<Resolved> {
        self.with_context(|context| resolve(entry(fields), context))
    }
}

fn entry(fields: &Map<String, Value>) -> Entry {
    let mut entry = Entry::default();
    for (name, value) in fields {
        let field = names::field(name).unwrap();
        assert_eq!(field.set(&mut entry, value), Ok(()), "{name}: {value}");
    }
    entry
        .env_sets
        .insert("production".to_owned(), Default::default());
    entry
}

/// A field's example, in an app that has nothing else but what it needs.
fn described(field: &Field, nth: usize, mode: &Value) -> Map<String, Value> {
    let mut fields = mode.as_object().unwrap().clone();
    fields.insert("script".to_owned(), json!("server.js"));
    if field.name != "append_env_to_name" {
        fields.insert("name".to_owned(), json!("app"));
    }
    if field.needs == Needs::Job {
        fields.insert("cron_restart".to_owned(), json!("0 3 * * *"));
        fields.insert("autorestart".to_owned(), json!(false));
    }
    if let Some(companion) = field.with.and_then(names::field) {
        fields.insert(companion.name.to_owned(), example(companion.examples[0]));
    }
    fields.insert(field.name.to_owned(), example(field.examples[nth]));
    fields
}

/// A mode: its name, and what chooses it.
type Mode = (&'static str, fn() -> Value);

const MODES: [Mode; 3] = [
    ("connection", || json!({ "exec_mode": "cluster" })),
    (
        "request",
        || json!({ "exec_mode": "cluster", "per": "request" }),
    ),
    ("fork", || json!({ "exec_mode": "fork" })),
];

/// What none of them is written for.
const NO_MODE: Mode = ("none", || json!({}));

/// Whether a field's needs are met.
fn is_met(needs: Needs, mode: &str) -> bool {
    match needs {
        Needs::Nothing => true,
        Needs::Cluster => mode != "fork",
        Needs::Connections => mode == "connection",
        Needs::Requests => mode == "request",
        // A job is one in each mode; without, `what_is_for_jobs_needs_one`.
        Needs::Job => true,
    }
}

/// Whether the tests' user may run an app as somebody else.
fn may_choose_users() -> bool {
    rustix::process::geteuid().is_root()
}

/// The app without the words that it came from.
fn without_words(mut app: App) -> App {
    app.described = None;
    app
}

#[test]
fn every_field_takes_effect_in_every_mode_or_is_refused() {
    let place = Place::new();
    for field in FIELDS {
        // These two choose the mode.
        let chooses = matches!(field.name, "exec_mode" | "per");
        let modes: &[Mode] = if chooses { &[NO_MODE] } else { &MODES };
        for (mode, base) in modes {
            let at = format!("{} in mode {mode}", field.name);
            let resolved = [0, 1].map(|nth| place.resolve(&described(field, nth, &base())));
            if !is_met(field.needs, mode) {
                for refused in resolved {
                    let error = refused.expect_err(&at).to_string();
                    let named = [Some(field.name), field.with];
                    let names_it = named.iter().flatten().any(|name| error.starts_with(name));
                    assert!(names_it, "{at}: {error}");
                }
                continue;
            }
            if matches!(field.name, "uid" | "gid") && !may_choose_users() {
                let error = format!("{:#}", resolved.into_iter().next().unwrap().unwrap_err());
                assert!(error.contains("root"), "{at}: {error}");
                continue;
            }
            let [one, other] =
                resolved.map(|it| it.unwrap_or_else(|error| panic!("{at}: {error:#}")));
            assert!(one.warnings.is_empty(), "{at}: {:?}", one.warnings);
            let differ = without_words(one.app) != without_words(other.app);
            assert!(differ || one.force != other.force, "{at}: no effect");
        }
    }
}

/// What an app tells of itself has the fields' names, all of them, and means the same app again.
#[test]
fn an_app_tells_its_fields_as_they_are_written() {
    let place = Place::new();
    let mut told = BTreeSet::from(HELD_BY_OTHERS.map(str::to_owned));
    for field in FIELDS {
        let (_, base) = MODES
            .iter()
            .find(|(mode, _)| is_met(field.needs, mode))
            .unwrap();
        let is_user = matches!(field.name, "uid" | "gid");
        for nth in [0, 1]
            .into_iter()
            .filter(|_| !is_user || may_choose_users())
        {
            let fields = described(
                field,
                nth,
                &if field.name == "per" {
                    json!({})
                } else {
                    base()
                },
            );
            let app = place.resolve(&fields).unwrap().app;
            let written = app.fields();
            assert!(
                written
                    .keys()
                    .all(|name| names::field(name).is_some_and(|it| it.name == name))
            );
            told.extend(written.keys().cloned());
            // `entry` shows that each value is one that its field takes.
            let values = written.into_iter().filter(|(_, value)| !value.is_null());
            let again = place.resolve(&values.collect()).unwrap();
            assert!(
                again.warnings.is_empty(),
                "{}: {:?}",
                field.name,
                again.warnings
            );
            assert_eq!(
                without_words(again.app),
                without_words(app),
                "{}",
                field.name
            );
        }
    }
    let all = FIELDS.iter().map(|field| field.name.to_owned());
    assert_eq!(told, all.collect());
}

#[test]
fn what_is_for_jobs_needs_one() {
    let place = Place::new();
    for field in FIELDS.iter().filter(|field| field.needs == Needs::Job) {
        for (lacking, other) in [
            ("cron_restart", None),
            ("cron_restart", Some(json!(0))),
            ("autorestart", None),
            ("autorestart", Some(json!(true))),
        ] {
            let mut fields = described(field, 0, &json!({}));
            fields.remove(lacking);
            if let Some(other) = other {
                fields.insert(lacking.to_owned(), other);
            }
            let error = place.resolve(&fields).unwrap_err().to_string();
            let start = format!("{} needs a job", field.name);
            assert!(error.starts_with(&start), "{error}");
        }
    }
}

/// A field that has no effect without another one draws a warning that names it.
#[test]
fn a_field_without_its_companion_is_told() {
    let place = Place::new();
    for field in FIELDS {
        let Some(with) = field.with else { continue };
        let (_, base) = MODES[usize::from(field.needs == Needs::Requests)];
        let mut fields = described(field, 0, &base());
        fields.remove(with);
        match place.resolve(&fields) {
            Ok(resolved) => {
                let warning = format!("{} has no effect without {with}", field.name);
                assert!(resolved.warnings.contains(&warning), "{}", field.name);
            }
            Err(error) => assert!(error.to_string().contains(with), "{error}"),
        }
    }
}

/// A changed value takes effect as the row says: never, or at a restart, by the supervisor that
/// runs or by another one.
#[test]
fn every_change_takes_effect_as_its_row_says() {
    let place = Place::new();
    for field in FIELDS {
        if matches!(field.name, "uid" | "gid") && !may_choose_users() {
            continue;
        }
        let (_, base) = match field.name {
            "exec_mode" => NO_MODE,
            _ => MODES[usize::from(field.needs == Needs::Requests)],
        };
        let base = base();
        let before = place.resolve(&described(field, 0, &base)).unwrap().app;
        let value = example(field.examples[1]);
        let said = Map::from_iter([(field.name.to_owned(), value)]);
        let mut said = entry(&said);
        said.env_sets.clear();
        let after = place.with_context(|context| changed(&before, said, context));
        let name = field.name;
        match field.change {
            Change::Never => {
                let error = after.unwrap_err().to_string();
                assert!(error.starts_with(name), "{error}");
            }
            Change::Command => assert!(without_words(after.unwrap().app) == without_words(before)),
            Change::Live | Change::Restart | Change::Recreate => {
                let after = after.unwrap().app;
                let anew = place.resolve(&described(field, 1, &base)).unwrap().app;
                assert_eq!(without_words(after.clone()), without_words(anew), "{name}");
                let kept = before.can_become(&after);
                assert_eq!(kept, field.change != Change::Recreate, "{name}");
            }
        }
    }
}

/// With another user's rights, the port in the environment is one that its supervisor opens.
#[test]
fn the_port_of_another_users_app_is_its_supervisors() {
    let place = Place::new();
    for (other_user, kept) in [(true, false), (false, true)] {
        let at = |port: u16| {
            let fields = json!({ "script": "server.js", "env": { "PORT": port } });
            let mut app = place.resolve(fields.as_object().unwrap()).unwrap().app;
            app.identity = other_user.then(|| super::app::Identity {
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

/// A check that goes over shared sockets is refused where there are none, and told what would do.
#[test]
fn a_check_over_listeners_needs_them() {
    let place = Place::new();
    for (mode, base) in MODES {
        for check in [
            json!("/healthz"),
            json!({ "tcp": true }),
            json!({ "command": "./check" }),
        ] {
            let mut fields = base().as_object().unwrap().clone();
            fields.insert("script".to_owned(), json!("server.js"));
            fields.insert("health".to_owned(), check.clone());
            let resolved = place.resolve(&fields);
            if mode == "fork" && check.get("command").is_none() {
                let error = resolved.unwrap_err().to_string();
                assert!(error.starts_with("health: ") && error.ends_with("or name a command"));
            } else {
                assert!(resolved.unwrap().app.health.is_some(), "{mode}, {check}");
            }
        }
    }
}

/// The chapters stand one after the other, and companions are fields.
#[test]
fn the_table_is_in_order() {
    let mut chapters: Vec<Category> = FIELDS.iter().map(|field| field.category).collect();
    chapters.dedup();
    for (nth, chapter) in chapters.iter().enumerate() {
        assert!(!chapters[nth + 1..].contains(chapter), "{chapter:?}");
    }
    for field in FIELDS {
        assert!(field.with.is_none_or(|with| names::field(with).is_some()));
        assert_ne!(field.examples[0], field.examples[1], "{}", field.name);
    }
}

/// What the record keeps of an app is what was written, odd bytes included.
#[test]
fn entries_survive_the_record() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    for field in FIELDS {
        for text in field.examples {
            let fields = Map::from_iter([(field.name.to_owned(), example(text))]);
            let entry = entry(&fields);
            let kept = serde_json::to_string(&entry).unwrap();
            assert_eq!(
                serde_json::from_str::<Entry>(&kept).unwrap(),
                entry,
                "{kept}"
            );
        }
    }
    let odd = OsString::from_vec(vec![b'/', 0xff]);
    let entry = Entry {
        script: Some(odd.clone()),
        cwd: Some(Path::new(&odd).to_owned()),
        args: Some(super::Words(vec![odd])),
        ..Entry::default()
    };
    let kept = serde_json::to_string(&entry).unwrap();
    assert_eq!(serde_json::from_str::<Entry>(&kept).unwrap(), entry);
}
