//! How an app is called: its name and namespace.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::bail;

use super::app::App;
use super::fields::Entry;
use super::words::told;

const NAMESPACE: &str = "default";

/// A name is part of lines and paths.
const LONGEST: usize = 128;

/// Name and namespace of the app that an entry stands for, as far as they can be told without
/// resolving it: what it is found by when it is there already.
pub fn called(entry: &Entry) -> Option<(String, String)> {
    let name = written(entry.name.as_ref()).map(str::to_owned);
    let name = name.or_else(|| entry.script.as_deref().map(of_script))?;
    let namespace = written(entry.namespace.as_ref()).unwrap_or(NAMESPACE);
    Some((name, namespace.to_owned()))
}

/// The app's name: the one that was given, or the script's; with that of the chosen set of
/// variables, if that is wanted.
///
/// # Errors
/// If it cannot be one.
pub(super) fn name(
    entry: &Entry,
    script: &OsStr,
    env_name: Option<&str>,
) -> anyhow::Result<String> {
    let name = written(entry.name.as_ref()).map(str::to_owned);
    let mut name = name.unwrap_or_else(|| of_script(script));
    if let (Some(true), Some(env_name)) = (entry.append_env_to_name, env_name) {
        name = format!("{name}-{env_name}");
    }
    check("name", &name)?;
    Ok(name)
}

/// The group that the app belongs to.
///
/// # Errors
/// If it cannot be one.
pub(super) fn namespace(entry: &Entry) -> anyhow::Result<String> {
    let namespace = written(entry.namespace.as_ref()).unwrap_or(NAMESPACE);
    check("namespace", namespace)?;
    Ok(namespace.to_owned())
}

/// Checks the names of an app that does not come from a config, as [`name`] and [`namespace`] do.
///
/// # Errors
/// If commands and lines could not name it.
pub fn check_names(app: &App) -> anyhow::Result<()> {
    check("name", &app.name)?;
    check("namespace", &app.namespace)
}

/// As in pm2, an empty text is none.
fn written(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

fn of_script(script: &OsStr) -> String {
    let stem = Path::new(script).file_stem().unwrap_or(script);
    stem.to_string_lossy().into_owned()
}

/// Whether commands and lines can name it.
fn check(what: &str, name: &str) -> anyhow::Result<()> {
    let shown = told(name);
    if name == "all" {
        bail!("the {what} \"all\" stands for all apps in commands; choose another");
    }
    if name.trim().is_empty() {
        bail!("the {what} \"{shown}\" cannot be seen; choose another");
    }
    if name.starts_with('-') {
        bail!("the {what} \"{shown}\" could not be told from a flag; choose another");
    }
    if name.chars().any(char::is_control) {
        bail!(
            "the {what} \"{shown}\" has control characters; it is part of lines, so choose another"
        );
    }
    let length = name.chars().count();
    if length > LONGEST {
        bail!("the {what} \"{shown}\" has {length} characters; {LONGEST} are the most");
    }
    Ok(())
}
