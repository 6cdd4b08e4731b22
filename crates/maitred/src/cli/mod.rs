//! The command line: one file a command.

#[expect(dead_code, reason = "the home folder fills the catalog")]
mod flush;
#[expect(dead_code, reason = "the home folder fills the catalog")]
mod logs;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs an app on all cores: N copies of it behind one door.
#[derive(Debug, Parser)]
#[command(name = "maitred", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(run) => run.execute(),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("maitred: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
