//! One file a command.

mod arguments;
pub(crate) mod cost;
pub(crate) mod exec;
pub(crate) mod library;
pub(crate) mod manager;
pub(crate) mod metrics;
pub(crate) mod reload;
pub(crate) mod requests;
pub(crate) mod slow;
pub(crate) mod tail;
pub(crate) mod throughput;
pub(crate) mod worker;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;

use crate::contender::Kind;

/// What every benchmark does first: its children end with it, and it may open
/// as many files as it is allowed to.
fn prepare() -> Result<()> {
    crate::child::end_children_on_signals()?;
    raise_file_limit();
    if let Some(load) = crate::machine::load_average().filter(|&load| load > 0.5) {
        eprintln!("warning: the machine is not idle (load average {load}); figures will wander");
    }
    Ok(())
}

fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // With the old limit a large measurement fails, and says why.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn write_json(path: Option<&Path>, value: &Value) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("creating {}", folder.display()))?;
    }
    let text = serde_json::to_string_pretty(value).context("writing the figures as JSON")?;
    std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    println!("\nAll figures: {}", path.display());
    Ok(())
}

/// Those that `only` names, or all.
fn choose(all: Vec<Kind>, only: &[String]) -> Result<Vec<Kind>> {
    for name in only {
        if !all
            .iter()
            .any(|kind| kind.is_named(std::slice::from_ref(name)))
        {
            let names: Vec<String> = all.iter().map(Kind::name).collect();
            bail!("--only knows no {name}, but {}", names.join(", "));
        }
    }
    Ok(all.into_iter().filter(|kind| kind.is_named(only)).collect())
}

/// The programs that the contenders need, each once, or the error that names a
/// missing one.
fn programs(kinds: &[Kind], maitred: Option<&Path>) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut programs = Vec::new();
    for kind in kinds {
        programs.extend(kind.programs(maitred)?);
    }
    programs.sort();
    programs.dedup();
    Ok(programs)
}

/// A length of time on the command line: above nothing, and below an hour.
fn seconds(text: &str) -> Result<f64> {
    let seconds: f64 = text.parse().context("not a number")?;
    if !(seconds > 0.0 && seconds <= 3600.0) {
        bail!("must lie above 0 and at most at 3600");
    }
    Ok(seconds)
}
