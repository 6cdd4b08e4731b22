//! The command line: one file a command.

mod requests;
mod run;

use std::ffi::OsString;
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
    let arguments = Arguments::parse_from(join_optional_values(std::env::args_os()));
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

/// `--stats 5` means `--stats=5`, and `--stats server.ts` does not: clap cannot tell an option's
/// value that may be left out from what follows it, but a number can be told from a script.
fn join_optional_values(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut ours = true;
    for arg in args {
        ours = ours && arg != "--";
        let is_number = arg.to_str().is_some_and(|arg| arg.parse::<u32>().is_ok());
        match joined.last_mut() {
            Some(option) if ours && is_number && option == "--stats" => {
                option.push("=");
                option.push(arg);
            }
            _ => joined.push(arg),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::CommandFactory;

    fn joined(line: &str) -> String {
        let args = line.split(' ').map(OsString::from);
        let joined = super::join_optional_values(args);
        joined.join(" ".as_ref()).into_string().unwrap()
    }

    #[test]
    fn a_number_belongs_to_the_option_before_it() {
        assert_eq!(joined("run --stats 5 a.ts"), "run --stats=5 a.ts");
        assert_eq!(joined("run --stats a.ts"), "run --stats a.ts");
        assert_eq!(joined("run a.ts -- --stats 5"), "run a.ts -- --stats 5");
        assert_eq!(joined("run -i 5 --stats"), "run -i 5 --stats");
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
