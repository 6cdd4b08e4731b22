//! Which instances a user means: a name, a namespace, a number, `all`, `/regex/`, or the path of a
//! script that apps run.

use std::path::Path;

use anyhow::{Context, bail};
use regex_lite::Regex;

use super::Known;
use telemetry::ids::InstanceId;

/// An app that is meant, or some of its instances.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    pub(crate) known: Known,
    /// The numbers of those that are meant; `None` for all.
    pub(crate) ids: Option<Vec<InstanceId>>,
}

impl Selected {
    /// The numbers of those that are meant.
    pub(crate) fn ids(&self) -> Vec<InstanceId> {
        match &self.ids {
            Some(ids) => ids.clone(),
            None => {
                let instances = self.known.record.instances.iter();
                instances.map(|kept| kept.id).collect()
            }
        }
    }
}

/// Finds what the targets mean among the apps, each once.
///
/// # Errors
/// Names the target that means nothing.
pub(crate) fn select(known: &[Known], targets: &[String]) -> anyhow::Result<Vec<Selected>> {
    let mut selected: Vec<Selected> = Vec::new();
    for target in targets {
        let mut found = find(known, target)?;
        if found.is_empty() {
            found = of_script(known, target);
        }
        if found.is_empty() && target != "all" {
            bail!(unknown(known, target));
        }
        for one in found {
            add_selected(&mut selected, one);
        }
    }
    Ok(selected)
}

/// Adds what is meant to what is meant already, so that each stands there once.
pub(crate) fn add_selected(selected: &mut Vec<Selected>, one: Selected) {
    let earlier = selected
        .iter_mut()
        .find(|other| other.known.folder == one.known.folder);
    match earlier {
        None => selected.push(one),
        Some(earlier) => {
            earlier.ids = match (earlier.ids.take(), one.ids) {
                (Some(mut some), Some(more)) => {
                    some.extend(more);
                    some.sort_unstable();
                    some.dedup();
                    Some(some)
                }
                _ => None,
            };
        }
    }
}

/// The apps that run the script with this path, which starts at the current folder.
fn of_script(known: &[Known], target: &str) -> Vec<Selected> {
    let Ok(path) = Path::new(target).canonicalize() else {
        return Vec::new();
    };
    let runs = |known: &&Known| {
        let script = known.record.app.script.canonicalize();
        script.is_ok_and(|script| script == path)
    };
    let whole = |known: &Known| Selected {
        known: known.clone(),
        ids: None,
    };
    known.iter().filter(runs).map(whole).collect()
}

/// Those that are called so, whatever scripts there are.
///
/// # Errors
/// If the target is no pattern.
pub(crate) fn find(known: &[Known], target: &str) -> anyhow::Result<Vec<Selected>> {
    let whole = |known: &Known| Selected {
        known: known.clone(),
        ids: None,
    };
    if target == "all" {
        return Ok(known.iter().map(whole).collect());
    }
    let pattern = target
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'));
    if let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) {
        let regex = Regex::new(pattern);
        let regex = regex.with_context(|| format!("{target} is no regular expression"))?;
        let matching = known
            .iter()
            .filter(|it| regex.is_match(&it.record.app.name));
        return Ok(matching.map(whole).collect());
    }
    let named = |known: &&Known| known.record.app.name == target;
    let found: Vec<_> = known.iter().filter(named).map(whole).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let grouped = |known: &&Known| known.record.app.namespace == target;
    let found: Vec<_> = known.iter().filter(grouped).map(whole).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    if let Ok(id) = target.parse().map(InstanceId) {
        let has = |known: &&Known| known.record.instances.iter().any(|kept| kept.id == id);
        return Ok(known
            .iter()
            .find(has)
            .map(|known| Selected {
                known: known.clone(),
                ids: Some(vec![id]),
            })
            .into_iter()
            .collect());
    }
    Ok(Vec::new())
}

fn unknown(known: &[Known], target: &str) -> String {
    let shown = target.escape_debug();
    if known.is_empty() {
        return format!("there is no app {shown}: the list is empty");
    }
    let mut names: Vec<_> = known.iter().map(|it| it.record.app.name.as_str()).collect();
    // Those of two namespaces stand beside each other then; once is enough.
    names.sort_unstable();
    names.dedup();
    let shown_names = names
        .iter()
        .take(10)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    let more = if names.len() > 10 { ", …" } else { "" };
    format!("there is no app, number or namespace {shown}; there is: {shown_names}{more}")
}
