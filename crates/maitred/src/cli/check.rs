//! `maitred check`: what a config file means, without starting anything.

use std::ffi::OsString;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::order::Order;
use super::together;
use super::what::What;
use crate::dependencies::Wrong;
use config::{self, Resolved};

/// Show what a script or a config file would be run as, and what is wrong with it.
///
/// Nothing is started. The output is JSON: each app with all its fields as a config file could have
/// them; times are in milliseconds, and env has what is the app's own. The values of what looks like
/// a secret are masked. Two more tell what follows from the script: its version, and
/// interpreter_reason, why this interpreter runs it.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// A config file or a script; by default the ecosystem file of this folder.
    target: Option<OsString>,

    #[command(flatten)]
    what: What,
}

impl Check {
    /// Prints the apps; the exit code.
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let target = match self.target {
            Some(target) => target,
            None => {
                let here = config::here()?;
                let Some(path) = config::usual(&here) else {
                    bail!(
                        "there is no ecosystem.config.js or the like in this folder; name a file"
                    );
                };
                path.into()
            }
        };
        let apps = if target == "-" {
            let text = std::io::read_to_string(std::io::stdin().lock());
            self.what
                .apps_of_json(&text.context("reading standard input")?)?
        } else {
            self.what.apps(&target)?
        };
        eprint!("{}", apps.printed);
        for warning in &apps.warnings {
            together::complain(warning);
        }
        if !apps.faults.is_empty() {
            apps.faults.iter().for_each(together::complain);
            return Ok(1);
        }
        let own: Vec<_> = apps.apps.iter().map(|it| &it.app).collect();
        let needed: Vec<_> = apps.needed.iter().map(|it| &it.app).collect();
        let (_, wrongs) = Order::of(&[own, needed].concat(), &[], &[]);
        wrongs.iter().for_each(together::complain);
        // One that is not in the file may be managed when it is started.
        if wrongs.iter().any(|it| !matches!(it, Wrong::Unknown { .. })) {
            return Ok(1);
        }
        let shown = apps.apps.iter().map(shown);
        let shown = Value::Array(shown.collect());
        let mut text = serde_json::to_vec_pretty(&shown)?;
        text.push(b'\n');
        together::print(text)?;
        Ok(0)
    }
}

/// The app as its config file could have it, without secrets, and what follows from its script.
fn shown(resolved: &Resolved) -> Value {
    let app = &resolved.app;
    let mut fields = app.fields();
    let own = app.own_env.iter().map(|(name, value)| {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        let value = config::shown(&name, &value).into_owned();
        (name.into_owned(), Value::String(value))
    });
    fields.insert("env".to_owned(), Value::Object(own.collect()));
    fields.insert("force".to_owned(), Value::Bool(resolved.force));
    let version = Some(&app.version).filter(|it| !it.is_empty());
    fields.insert("version".to_owned(), version.cloned().into());
    let reason = Value::String(resolved.interpreter_reason.clone());
    fields.insert("interpreter_reason".to_owned(), reason);
    Value::Object(fields)
}
