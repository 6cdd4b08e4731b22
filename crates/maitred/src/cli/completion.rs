//! `maitred completion`: what a shell needs to complete our commands.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::together;

/// Print a script that makes a shell complete maitred's commands and flags.
///
/// For bash: maitred completion bash > ~/.local/share/bash-completion/completions/maitred
#[derive(Debug, Args)]
pub(super) struct Completion {
    /// Which shell.
    shell: Known,
}

/// The shells that are known.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    /// Prints the script; the exit code.
    pub(super) fn execute(&self) -> anyhow::Result<u8> {
        let shell = match self.shell {
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
