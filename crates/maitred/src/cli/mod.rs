//! The command line: one file a command.

mod app_logs;
mod attached;
mod check;
mod cleardump;
mod completion;
mod dashboard;
mod delete;
mod describe;
mod env;
mod events;
mod flags;
mod flush;
mod foreground;
mod foreground_together;
mod id;
mod init;
mod jlist;
mod kill;
mod last_run;
mod list;
mod live;
mod logs;
mod man;
mod metrics;
mod mini_list;
mod monit;
mod needed;
mod order;
mod pid;
mod ping;
mod pm2;
mod prettylist;
mod reload;
mod reload_logs;
mod reset;
mod restart;
mod resurrect;
mod run;
mod save;
mod scale;
mod schema;
mod send;
mod send_signal;
mod service_manager;
mod shown;
mod start;
mod start_all;
mod start_or;
mod startup;
mod stop;
mod supervise;
mod table;
mod together;
mod update;
mod usage;
mod watch;
mod what;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

/// Runs an app on all cores: N copies of it behind one door.
#[derive(Debug, Parser)]
#[command(
    name = "maitred",
    version,
    // With the commit and the target.
    long_version = env!("MAITRED_VERSION"),
    about,
    max_term_width = 100,
    disable_version_flag = true,
    // As with pm2, the last one counts.
    args_override_self = true
)]
struct Arguments {
    /// Print the version; --version also prints the commit and the target.
    #[arg(short = 'v', long, visible_short_alias = 'V', action = ArgAction::Version)]
    version: (),

    #[command(flatten)]
    manner: Manner,

    #[command(subcommand)]
    command: Command,
}

/// The heading of the flags that every command has.
const GLOBAL: &str = "Global options";

/// How a command speaks; the same for all.
#[derive(Clone, Debug, Args)]
struct Manner {
    /// Suppress status messages.
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    silent: bool,

    /// Use no colours.
    #[arg(long, global = true, help_heading = GLOBAL)]
    no_color: bool,

    /// Show the list as lines of "name : value", for scripts.
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    mini_list: bool,
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
    /// Restart apps that run, start those that do not.
    #[command(name = "startOrRestart", alias = "start-or-restart")]
    StartOrRestart(start_or::StartOr),
    /// Reload apps that run, one instance after the other, and start those that do not.
    #[command(name = "startOrReload", aliases = ["start-or-reload", "startOrGracefulReload"])]
    StartOrReload(start_or::StartOr),
    Update(update::Update),
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
    #[command(alias = "log")]
    Logs(logs::Logs),
    Events(events::Events),
    Monit(monit::Monit),
    #[command(visible_aliases = ["dash"])]
    Dashboard(dashboard::Dashboard),
    Metrics(metrics::Metrics),
    Flush(flush::Flush),
    #[command(name = "reloadLogs", alias = "reload-logs")]
    ReloadLogs(reload_logs::ReloadLogs),
    #[command(alias = "dump")]
    Save(save::Save),
    Resurrect(resurrect::Resurrect),
    Cleardump(cleardump::Cleardump),
    Startup(startup::Startup),
    Unstartup(startup::Unstartup),
    Check(Box<check::Check>),
    #[command(visible_alias = "ecosystem")]
    Init(init::Init),
    Schema(schema::Schema),
    Completion(completion::Completion),
    #[command(hide = true)]
    Man(man::Man),
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    // A supervisor is started by maitred alone, and lives long: it is spared the memory and the
    // time that all the other commands take to describe.
    if let Some(supervise) = supervise::Supervise::asked_for(std::env::args_os()) {
        return ended(supervise.execute());
    }
    if foreground::asked_for(std::env::args_os()) {
        return ended(foreground::run_from_input());
    }
    let words = join_optional_values(flags::joined(std::env::args_os()).into_iter());
    let first = words.get(1).cloned();
    let parsed = pm2::known_to_all(Arguments::command()).try_get_matches_from(words);
    let parsed = parsed.and_then(|matches| {
        let arguments = Arguments::from_arg_matches(&matches)?;
        Ok((arguments, pm2::notes(&matches)))
    });
    let (
        Arguments {
            manner, command, ..
        },
        notes,
    ) = match parsed {
        Ok(parsed) => parsed,
        Err(mut error) => {
            keep_nearest(&mut error);
            match pm2::instead(&error, first.as_deref()) {
                Some(instead) => together::complain(&instead),
                None => {
                    let _ = error.print();
                }
            }
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                // As pm2 answers to a command that it does not know.
                ErrorKind::InvalidSubcommand => ExitCode::FAILURE,
                _ => ExitCode::from(2),
            };
        }
    };
    for note in &notes {
        together::say(&manner, note);
    }
    let result = match command {
        Command::Run(run) => run.execute(&manner),
        Command::Start(start) => start.execute(&manner),
        Command::Stop(stop) => stop.execute(&manner),
        Command::Restart(restart) => restart.execute(&manner),
        Command::Reload(reload) => reload.execute(&manner),
        Command::Delete(delete) => delete.execute(&manner),
        Command::Scale(scale) => scale.execute(&manner),
        Command::StartOrRestart(start) => start.execute(start::Mode::File, &manner),
        Command::StartOrReload(start) => start.execute(start::Mode::Reload, &manner),
        Command::Update(update) => update.execute(&manner),
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
        Command::Logs(logs) => logs.execute(),
        Command::Events(events) => events.execute(&manner),
        Command::Monit(monit) => monit.execute(&manner),
        Command::Dashboard(dashboard) => dashboard.execute(&manner),
        Command::Metrics(metrics) => metrics.execute(),
        Command::Flush(flush) => flush.execute(&manner),
        Command::ReloadLogs(reload) => reload.execute(&manner),
        Command::Save(save) => save.execute(&manner),
        Command::Resurrect(resurrect) => resurrect.execute(&manner),
        Command::Cleardump(cleardump) => cleardump.execute(&manner),
        Command::Startup(startup) => startup.execute(&manner),
        Command::Unstartup(unstartup) => unstartup.execute(&manner),
        Command::Check(check) => check.execute(),
        Command::Init(init) => init.execute(),
        Command::Schema(schema) => schema.execute(),
        Command::Completion(completion) => completion.execute(),
        Command::Man(man) => man.execute(),
    };
    ended(result)
}

/// Of the commands that one may have been meant, the most similar comes last.
fn keep_nearest(error: &mut clap::Error) {
    let similar = error.get(ContextKind::SuggestedSubcommand);
    if let Some(ContextValue::Strings(similar)) = similar
        && let Some(nearest) = similar.last().cloned()
    {
        let nearest = ContextValue::Strings(vec![nearest]);
        error.insert(ContextKind::SuggestedSubcommand, nearest);
    }
}

fn ended(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            together::complain_of(&error);
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
        let program = super::Arguments::command();
        super::pm2::known_to_all(program).debug_assert();
    }
}
