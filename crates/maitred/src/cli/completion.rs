//! `maitred completion`: what a shell needs to complete our commands.

use std::path::PathBuf;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::together;

/// Print a script that makes a shell complete maitred's commands and flags.
///
/// For bash: maitred completion bash > ~/.local/share/bash-completion/completions/maitred
#[derive(Debug, Args)]
pub(super) struct Completion {
    /// Which shell; by default that of $SHELL, or else bash.
    shell: Option<Known>,
}

/// The shells that are known.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

impl Known {
    /// The shell that the user has.
    fn of_user() -> Self {
        let path = PathBuf::from(std::env::var_os("SHELL").unwrap_or_default());
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| Self::from_str(name, false).ok())
            .unwrap_or(Self::Bash)
    }
}

impl Completion {
    /// Prints the script; the exit code.
    pub(super) fn execute(&self) -> anyhow::Result<u8> {
        let shell = match self.shell.unwrap_or_else(Known::of_user) {
            Known::Bash => Shell::Bash,
            Known::Zsh => Shell::Zsh,
            Known::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        generate(
            shell,
            &mut super::Arguments::command(),
            "maitred",
            &mut script,
        );
        together::print(script)?;
        Ok(0)
    }
}
