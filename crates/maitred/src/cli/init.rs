//! `maitred init`: a config file to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;

use super::together;

/// The file, with comments.
const EXAMPLE: &str = include_str!("ecosystem.config.js");

/// The name where a `.js` file is CommonJS, and where it is not.
const NAME: &str = "ecosystem.config.js";
const NAME_IN_A_MODULE: &str = "ecosystem.config.cjs";

/// Write an ecosystem.config.js with comments into this folder.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// What pm2 knows as the short form; the same file.
    #[arg(hide = true, value_parser = ["simple"])]
    mode: Option<String>,
}

impl Init {
    /// Writes the file; the exit code.
    pub(super) fn execute(&self) -> anyhow::Result<u8> {
        let here = config::here()?;
        if let Some(there) = config::usual(&here) {
            bail!("{} is there already; it is left as it is", there.display());
        }
        let name = if is_module(&here) {
            NAME_IN_A_MODULE
        } else {
            NAME
        };
        let file = OpenOptions::new().write(true).create_new(true).open(name);
        let mut file = match file {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("{name} is there already; it is left as it is")
            }
            Err(error) => return Err(error).with_context(|| format!("creating {name}")),
        };
        file.write_all(EXAMPLE.as_bytes())
            .with_context(|| format!("writing {name}"))?;
        together::print(format!(
            "{name} is written; edit it, and then: maitred start {name}\n"
        ))?;
        Ok(0)
    }
}

/// Whether the folder's `.js` files are ES modules, as its package.json says.
fn is_module(folder: &Path) -> bool {
    let package = std::fs::read(folder.join("package.json")).ok();
    let package = package.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    package.is_some_and(|package| package.get("type").and_then(|it| it.as_str()) == Some("module"))
}
