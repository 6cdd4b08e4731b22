//! The command line: one file a command.

mod check;
mod completion;
mod flags;
mod init;
mod run;
mod what;

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
    Check(Box<check::Check>),
    #[command(visible_alias = "ecosystem")]
    Init(init::Init),
    Completion(completion::Completion),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(run) => run.execute(),
        Command::Check(check) => check.execute(),
        Command::Init(init) => init.execute(),
        Command::Completion(completion) => completion.execute(),
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
