//! What to start: a script or a config file, with the flags that describe it, resolved into apps.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;

use super::flags::StartFlags;
use crate::apps::Selected;
use config::{self, App, ConfigFile, Entry, Environment, Resolved, Surroundings};
use triggers::watch::{self, Problem};

/// The flags of everything that takes apps from a command line or a config file.
#[derive(Clone, Debug, Args)]
pub(super) struct What {
    /// The set of variables to use: env_NAME in the config file.
    #[arg(long, value_name = "NAME")]
    pub(super) env: Option<String>,

    /// Only these apps of the config file.
    #[arg(long, value_name = "APP", value_delimiter = ',')]
    pub(super) only: Vec<String>,

    #[command(flatten)]
    pub(super) flags: StartFlags,

    /// Arguments for the script.
    #[arg(last = true)]
    pub(super) args: Vec<OsString>,
}

/// Apps, and what the user should be told of them.
#[derive(Debug)]
pub(super) struct Apps {
    pub(super) apps: Vec<Resolved>,
    /// What is wrong with others of the same file, which cannot be run.
    pub(super) faults: Vec<anyhow::Error>,
    /// Warnings and notes, each a line.
    pub(super) warnings: Vec<String>,
    /// What a config file printed when it was evaluated.
    pub(super) printed: String,
}

impl What {
    /// The apps that a script or a config file stands for.
    ///
    /// # Errors
    /// If the file is wrong, or an app cannot be run as it is described.
    pub(super) fn apps(&self, target: &OsStr) -> anyhow::Result<Apps> {
        if config::is_config(Path::new(target)) {
            let file = config::load(Path::new(target), self.env.as_deref())?;
            return self.of_file(file, &target.to_string_lossy());
        }
        let here = config::here()?;
        let mut entry = self.flags.entry.clone();
        entry.script = Some(target.to_owned());
        let file = ConfigFile {
            folder: here,
            apps: vec![entry],
            warnings: Vec::new(),
            printed: String::new(),
        };
        if !self.only.is_empty() {
            bail!(
                "--only chooses apps of a config file, and {} is none",
                shown(target)
            );
        }
        self.resolve(file, None)
    }

    /// The apps of a config in JSON that does not stand in a file.
    ///
    /// # Errors
    /// As [`What::apps`].
    pub(super) fn apps_of_json(&self, text: &str) -> anyhow::Result<Apps> {
        let here = config::here()?;
        let name = "standard input";
        self.of_file(config::load_json(name, text, &here)?, name)
    }

    /// The apps with those of their settings changed that the command line has, if it has any.
    ///
    /// # Errors
    /// If a setting cannot be changed so, or would be that of some instances alone.
    pub(super) fn changed(&self, selected: &[Selected]) -> anyhow::Result<Option<Vec<Resolved>>> {
        let mut said = self.flags.entry.clone();
        // It is restarted in any case.
        said.force = None;
        if !self.args.is_empty() {
            said.args = Some(config::Words(self.args.clone()));
        }
        if said == Entry::default() {
            return Ok(None);
        }
        let here = config::here()?;
        let surroundings = Surroundings {
            folder: &here,
            inherited: &std::env::vars_os().collect(),
            env_name: None,
            processors: config::processors(),
        };
        let changed = selected.iter().map(|one| {
            let record = &one.known.record;
            let name = || record.app.name.clone();
            if one.ids().len() < record.instances.len() {
                bail!(
                    "{}: settings are those of all its instances; name the app, and not one of \
                     its numbers",
                    name()
                );
            }
            let changed = config::changed(&record.app, said.clone(), &surroundings);
            let mut changed = changed.with_context(name)?;
            changed.warnings.extend(not_watched(&changed.app));
            Ok(changed)
        });
        changed.collect::<anyhow::Result<_>>().map(Some)
    }

    /// What the flags say goes over what the file says.
    fn of_file(&self, mut file: ConfigFile, name: &str) -> anyhow::Result<Apps> {
        for app in &mut file.apps {
            app.overlay(self.flags.entry.clone());
        }
        self.resolve(file, Some(name))
    }

    fn resolve(&self, file: ConfigFile, name: Option<&str>) -> anyhow::Result<Apps> {
        let inherited: Environment = std::env::vars_os().collect();
        // A relative --cwd starts from here, not from the file.
        let here = config::here()?;
        let mut apps = Apps {
            apps: Vec::new(),
            faults: Vec::new(),
            warnings: file.warnings,
            printed: file.printed,
        };
        let count = file.apps.len();
        let mut others = Vec::new();
        for (number, mut entry) in (1..).zip(file.apps) {
            if let (Some(cwd), true) = (&self.flags.entry.cwd, name.is_some()) {
                entry.cwd = Some(here.join(cwd));
            }
            if !self.args.is_empty() {
                entry.args = Some(config::Words(self.args.clone()));
            }
            let called = called(&entry, number, count);
            let surroundings = Surroundings {
                folder: &file.folder,
                inherited: &inherited,
                env_name: self.env.as_deref(),
                processors: config::processors(),
            };
            // An app that was not chosen need not be right.
            let resolved = config::resolve(entry.clone(), &surroundings);
            let names = [
                entry.name.clone(),
                resolved.as_ref().ok().map(|it| it.app.name.clone()),
            ];
            if !self.only.is_empty() && !names.iter().flatten().any(|name| self.only.contains(name))
            {
                others.extend(names.into_iter().flatten().next_back());
                continue;
            }
            let mut resolved = match (name, resolved) {
                (_, Ok(resolved)) => resolved,
                (None, Err(error)) => return Err(error),
                // The others of the file are run all the same.
                (Some(file), Err(error)) => {
                    apps.faults.push(error.context(format!("{file}: {called}")));
                    continue;
                }
            };
            let mut warnings = std::mem::take(&mut resolved.warnings);
            warnings.extend(not_watched(&resolved.app));
            let at = name.map_or_else(|| called.clone(), |file| format!("{file}: {called}"));
            apps.warnings
                .extend(warnings.iter().map(|it| format!("{at}: {it}")));
            apps.apps.push(resolved);
        }
        if let Some(name) = twice(&apps.apps) {
            bail!(
                "two apps are called {}; each needs a name or a namespace of its own (copies of \
                 one app are its `instances`)",
                shown(name.as_ref())
            );
        }
        if apps.apps.is_empty() && apps.faults.is_empty() && !self.only.is_empty() {
            bail!(
                "no app is called {}; there {}",
                self.only.join(", "),
                match others.as_slice() {
                    [] => "are none".to_owned(),
                    [one] => format!("is {one}"),
                    many => format!("are {}", many.join(", ")),
                }
            );
        }
        Ok(apps)
    }
}

/// What of an app will not be watched as it was written.
fn not_watched(app: &App) -> Vec<String> {
    let foreseen = app
        .watch
        .iter()
        .flat_map(|it| watch::foreseen(&it.paths, &it.ignore, &app.cwd));
    foreseen
        .map(|problem| {
            let field = match problem {
                Problem::BadPattern { .. } => app.ignoring_field(),
                Problem::NotWatched { .. } | Problem::Limit { .. } => "watch",
            };
            format!("{field}: {problem}")
        })
        .collect()
}

/// A name that two of them have, in one namespace.
fn twice(apps: &[Resolved]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    let mut apps = apps.iter().map(|resolved| &resolved.app);
    let twice = apps.find(|app| !seen.insert((&app.namespace, &app.name)));
    twice.map(|app| app.name.as_str())
}

fn called(entry: &Entry, number: usize, of: usize) -> String {
    let name = entry.name.as_deref().filter(|name| !name.is_empty());
    match name.map(OsStr::new).or(entry.script.as_deref()) {
        Some(name) => format!("app {}", shown(name)),
        None if of == 1 => "the app".to_owned(),
        None => format!("app {number}"),
    }
}

fn shown(name: &OsStr) -> String {
    let short: String = name.to_string_lossy().chars().take(80).collect();
    format!("\"{}\"", short.escape_debug())
}
