//! The command line: one file a command.

mod cleardump;
mod delete;
mod describe;
mod env;
mod flush;
mod id;
mod jlist;
mod kill;
mod list;
mod logs;
mod pid;
mod ping;
mod pm2_json;
mod prettylist;
mod reload;
mod reset;
mod restart;
mod resurrect;
mod run;
mod save;
mod scale;
mod send;
mod send_signal;
mod shown;
mod start;
mod start_or;
mod startup;
mod stop;
mod supervise;
mod table;
mod together;
mod usage;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

/// Runs an app on all cores: N copies of it behind one door.
#[derive(Debug, Parser)]
#[command(name = "maitred", version, about, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    manner: Manner,

    #[command(subcommand)]
    command: Command,
}

/// How a command speaks; the same for all.
#[derive(Clone, Debug, Args)]
struct Manner {
    /// Say nothing but what was asked for.
    #[arg(short, long, global = true)]
    silent: bool,

    /// No colours.
    #[arg(long, global = true)]
    no_color: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
    Start(Box<start::Start>),
    Stop(stop::Stop),
    Restart(restart::Restart),
    Reload(reload::Reload),
    #[command(visible_alias = "del")]
    Delete(delete::Delete),
    Scale(scale::Scale),
    #[command(name = "startOrRestart", alias = "start-or-restart")]
    StartOrRestart(start_or::StartOr),
    #[command(name = "startOrReload", alias = "start-or-reload")]
    StartOrReload(start_or::StartOr),
    Reset(reset::Reset),
    #[command(name = "sendSignal", alias = "send-signal")]
    SendSignal(send_signal::SendSignal),
    Send(send::Send),
    Kill(kill::Kill),
    #[command(visible_aliases = ["ls", "l", "status", "ps"])]
    List(list::List),
    Jlist(jlist::Jlist),
    #[command(aliases = ["prettyList"])]
    Prettylist(prettylist::Prettylist),
    #[command(visible_aliases = ["show", "info", "desc"])]
    Describe(describe::Describe),
    Env(env::Env),
    Pid(pid::Pid),
    Id(id::Id),
    Ping(ping::Ping),
    #[command(alias = "dump")]
    Save(save::Save),
    Resurrect(resurrect::Resurrect),
    Cleardump(cleardump::Cleardump),
    Startup(startup::Startup),
    Unstartup(startup::Unstartup),
    #[command(hide = true)]
    Supervise(supervise::Supervise),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let Arguments { manner, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                // As pm2 answers to a command that it does not know.
                ErrorKind::InvalidSubcommand => ExitCode::FAILURE,
                _ => ExitCode::from(2),
            };
        }
    };
    let result = match command {
        Command::Run(run) => run.execute(),
        Command::Supervise(supervise) => supervise.execute(),
        Command::Start(start) => start.execute(&manner),
        Command::Stop(stop) => stop.execute(&manner),
        Command::Restart(restart) => restart.execute(&manner),
        Command::Reload(reload) => reload.execute(&manner),
        Command::Delete(delete) => delete.execute(&manner),
        Command::Scale(scale) => scale.execute(&manner),
        Command::StartOrRestart(start) => start.execute(start_or::Otherwise::Restart, &manner),
        Command::StartOrReload(start) => start.execute(start_or::Otherwise::Reload, &manner),
        Command::Reset(reset) => reset.execute(&manner),
        Command::SendSignal(send) => send.execute(&manner),
        Command::Send(send) => send.execute(&manner),
        Command::Kill(kill) => kill.execute(&manner),
        Command::List(list) => list.execute(&manner),
        Command::Jlist(jlist) => jlist.execute(),
        Command::Prettylist(prettylist) => prettylist.execute(),
        Command::Describe(describe) => describe.execute(&manner),
        Command::Env(env) => env.execute(),
        Command::Pid(pid) => pid.execute(),
        Command::Id(id) => id.execute(),
        Command::Ping(ping) => ping.execute(),
        Command::Save(save) => save.execute(&manner),
        Command::Resurrect(resurrect) => resurrect.execute(&manner),
        Command::Cleardump(cleardump) => cleardump.execute(&manner),
        Command::Startup(startup) => startup.execute(&manner),
        Command::Unstartup(unstartup) => unstartup.execute(&manner),
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
