//! What to start: a script or a config file, with the flags that describe it, resolved into apps.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;

use super::flags::StartFlags;
use super::needed;
use super::order::Called;
use crate::apps::{OfApp, Selected};
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
    /// Others of the file, on which those that were chosen depend.
    pub(super) needed: Vec<Resolved>,
    /// Those of the file that cannot be run.
    pub(super) broken: Vec<Called>,
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
            let name = || OfApp(record.app.name.clone());
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

    fn of_file(&self, file: ConfigFile, name: &str) -> anyhow::Result<Apps> {
        self.resolve(file, Some(name))
    }

    fn resolve(&self, file: ConfigFile, name: Option<&str>) -> anyhow::Result<Apps> {
        let inherited: Environment = std::env::vars_os().collect();
        let mut apps = Apps {
            apps: Vec::new(),
            needed: Vec::new(),
            broken: Vec::new(),
            faults: Vec::new(),
            warnings: file.warnings,
            printed: file.printed,
        };
        let surroundings = Surroundings {
            folder: &file.folder,
            inherited: &inherited,
            env_name: self.env.as_deref(),
            processors: config::processors(),
        };
        let count = file.apps.len();
        let (mut others, mut not_chosen) = (Vec::new(), Vec::new());
        for (number, plain) in (1..).zip(file.apps) {
            let entry = self.with_flags(plain.clone(), name.is_some())?;
            let called = called(&entry, number, count);
            // An app that was not chosen need not be right.
            let resolved = config::resolve(entry.clone(), &surroundings);
            let names = [
                entry.name.clone(),
                resolved.as_ref().ok().map(|it| it.app.name.clone()),
            ];
            if !self.only.is_empty() && !names.iter().flatten().any(|name| self.only.contains(name))
            {
                others.extend(names.into_iter().flatten().next_back());
                not_chosen.push(plain);
                continue;
            }
            let at = name.map_or_else(|| called.clone(), |file| format!("{file}: {called}"));
            let resolved = match (name, resolved) {
                (_, Ok(resolved)) => resolved,
                (None, Err(error)) => return Err(error),
                // The others of the file are run all the same.
                (Some(_), Err(error)) => {
                    apps.broken.extend(config::called(&entry));
                    apps.faults.push(error.context(at));
                    continue;
                }
            };
            let resolved = warned(resolved, &at, &mut apps.warnings);
            apps.apps.push(resolved);
        }
        self.are_told_apart(&apps, &others)?;
        apps.add_needed(not_chosen, &surroundings, name.unwrap_or_default());
        Ok(apps)
    }

    /// What the flags say goes over what the file says.
    fn with_flags(&self, mut entry: Entry, of_file: bool) -> anyhow::Result<Entry> {
        if of_file {
            entry.overlay(self.flags.entry.clone());
        }
        if let (Some(cwd), true) = (&self.flags.entry.cwd, of_file) {
            // A relative --cwd starts from here, not from the file.
            entry.cwd = Some(config::here()?.join(cwd));
        }
        if !self.args.is_empty() {
            entry.args = Some(config::Words(self.args.clone()));
        }
        Ok(entry)
    }

    /// # Errors
    /// If two apps have one name, or none is called as one that was to be chosen; `others` are the
    /// names of those that were not.
    fn are_told_apart(&self, apps: &Apps, others: &[String]) -> anyhow::Result<()> {
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
                match others {
                    [] => "are none".to_owned(),
                    [one] => format!("is {one}"),
                    many => format!("are {}", many.join(", ")),
                }
            );
        }
        Ok(())
    }
}

impl Apps {
    /// Adds those of the file's other apps that the chosen ones depend on.
    fn add_needed(&mut self, others: Vec<Entry>, context: &Surroundings, file: &str) {
        let needed = needed::of(&self.apps, others, context);
        let at = |name: &str| format!("{file}: app {}", shown(name.as_ref()));
        for resolved in needed.apps {
            let at = at(&resolved.app.name);
            let resolved = warned(resolved, &at, &mut self.warnings);
            self.needed.push(resolved);
        }
        for (called, error) in needed.broken {
            self.faults.push(error.context(at(&called.0)));
            self.broken.push(called);
        }
    }
}

/// The app, after its warnings have gone to the others.
fn warned(mut resolved: Resolved, at: &str, to: &mut Vec<String>) -> Resolved {
    let mut warnings = std::mem::take(&mut resolved.warnings);
    warnings.extend(not_watched(&resolved.app));
    to.extend(warnings.iter().map(|it| format!("{at}: {it}")));
    resolved
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
