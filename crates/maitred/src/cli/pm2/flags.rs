//! The flags that pm2 takes with all of its commands. A command that has no use for one takes it
//! too, so that scripts which were written for pm2 run as they are, and says so.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag of pm2.
struct Flag {
    /// As it is written. No argument of ours has such an id.
    name: &'static str,
    pub short: Option<char>,
    pub takes: Takes,
    /// Why it does nothing, where a command has no use for it.
    reason: &'static str,
}

/// What follows a flag.
enum Takes {
    Nothing,
    Value,
    Perhaps,
}

use Takes::{Nothing, Perhaps, Value};

const KEYMETRICS: &str = "there is no Keymetrics here";
const AT_START: &str = "what describes an app is said when it is started";
const STARTUP: &str = "it belongs to `startup`";

const FLAGS: [Flag; 61] = [
    flag(
        "--no-vizion",
        Nothing,
        "versions are not looked up in repositories",
    ),
    flag("--no-pmx", Nothing, KEYMETRICS),
    flag("--no-automation", Nothing, KEYMETRICS),
    flag("--trace", Nothing, "there is no tracing here"),
    flag("--disable-trace", Nothing, "there is no tracing here"),
    flag("--v8", Nothing, KEYMETRICS),
    flag("--event-loop-inspector", Nothing, KEYMETRICS),
    flag("--deep-monitoring", Nothing, KEYMETRICS),
    flag(
        "--ext",
        Value,
        "--ignore-watch names what is not to be watched",
    ),
    flag(
        "--parallel",
        Value,
        "apps are acted on side by side in any case",
    ),
    flag("--wait-ip", Nothing, STARTUP),
    flag("--hp", Value, STARTUP),
    flag("--service-name", Value, STARTUP),
    flag("--write", Nothing, "`init` writes a config file").short('w'),
    flag("--watch", Nothing, AT_START),
    flag("--sort", Value, "`list` and `start` sort what they show"),
    flag("--attach", Nothing, "`logs` shows what apps write"),
    flag("--no-daemon", Nothing, "`start` has it"),
    flag("--force", Nothing, "nothing has to be forced").short('f'),
    flag(
        "--update-env",
        Nothing,
        "`start`, `restart` and `reload` have it",
    )
    .short('a'),
    flag("--only", Value, "it names no app of a config file"),
    flag("--env", Value, AT_START),
    flag("--name", Value, AT_START).short('n'),
    flag("--interpreter", Value, AT_START),
    flag("--interpreter-args", Value, AT_START),
    flag("--node-args", Value, AT_START),
    flag("--output", Value, AT_START).short('o'),
    flag("--error", Value, AT_START).short('e'),
    flag("--log", Perhaps, AT_START).short('l'),
    flag("--filter-env", Perhaps, AT_START),
    flag("--log-type", Value, AT_START),
    flag("--log-date-format", Value, AT_START),
    flag("--time", Nothing, AT_START),
    flag("--disable-logs", Nothing, AT_START),
    flag("--instances", Value, AT_START).short('i'),
    flag("--shutdown-with-message", Nothing, AT_START),
    flag("--pid", Value, AT_START).short('p'),
    flag("--kill-timeout", Value, AT_START).short('k'),
    flag("--listen-timeout", Value, AT_START),
    flag("--max-memory-restart", Value, AT_START),
    flag("--restart-delay", Value, AT_START),
    flag("--exp-backoff-restart-delay", Value, AT_START),
    flag("--execute-command", Nothing, AT_START).short('x'),
    flag("--max-restarts", Value, AT_START),
    flag("--user", Value, AT_START).short('u'),
    flag("--uid", Value, AT_START),
    flag("--gid", Value, AT_START),
    flag("--namespace", Value, AT_START),
    flag("--cwd", Value, AT_START),
    flag("--cron", Value, AT_START).short('c'),
    flag("--cron-restart", Value, AT_START),
    flag("--source-map-support", Nothing, AT_START),
    flag("--disable-source-map-support", Nothing, AT_START),
    flag("--wait-ready", Nothing, AT_START),
    flag("--merge-logs", Nothing, AT_START),
    flag("--ignore-watch", Value, AT_START),
    flag("--watch-delay", Value, AT_START),
    flag("--no-autostart", Nothing, AT_START),
    flag("--no-autorestart", Nothing, AT_START),
    flag("--stop-exit-codes", Value, AT_START),
    flag("--no-treekill", Nothing, AT_START),
];

const fn flag(name: &'static str, takes: Takes, reason: &'static str) -> Flag {
    Flag {
        name,
        short: None,
        takes,
        reason,
    }
}

impl Flag {
    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    fn long(&self) -> &'static str {
        self.name.trim_start_matches('-')
    }
}

/// Commands that pm2 does not have; and `send`, whose words go to a process as they are.
const WITHOUT: [&str; 4] = ["run", "completion", "supervise", "send"];

/// Lets all commands that pm2 has too take all of its flags.
pub(in crate::cli) fn known_to_all(program: Command) -> Command {
    program.mut_subcommands(|command| {
        if WITHOUT.contains(&command.get_name()) {
            return command;
        }
        // Only the one that is called is worth the time.
        command.defer(|command| FLAGS.iter().fold(command, add))
    })
}

fn add(command: Command, flag: &Flag) -> Command {
    let named = |arg: &Arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(flag.long()) || aliases.contains(&flag.long())
    };
    if command.get_arguments().any(named) {
        return command;
    }
    let taken = |short: &char| {
        let mut all = command.get_arguments();
        all.any(|arg| arg.get_short() == Some(*short))
    };
    let mut arg = Arg::new(flag.name).long(flag.long()).hide(true);
    if let Some(short) = flag.short.filter(|short| !taken(short)) {
        arg = arg.short(short);
    }
    command.arg(match flag.takes {
        Nothing => arg.action(ArgAction::Count),
        Value => arg.action(ArgAction::Append).allow_hyphen_values(true),
        Perhaps => arg.action(ArgAction::Append).num_args(0..=1),
    })
}

/// What the user should know of flags that were given and do nothing.
pub(in crate::cli) fn notes(matches: &ArgMatches) -> Vec<String> {
    let Some((name, matches)) = matches.subcommand() else {
        return Vec::new();
    };
    let given = |flag: &&Flag| {
        matches.try_contains_id(flag.name).is_ok()
            && matches.value_source(flag.name) == Some(ValueSource::CommandLine)
    };
    FLAGS
        .iter()
        .filter(given)
        .map(|flag| {
            let (flag, reason) = (flag.name, flag.reason);
            format!("{flag} does nothing with `{name}`: {reason}")
        })
        .collect()
}

/// What to do instead of giving a flag of pm2 that is refused.
pub(super) fn instead(name: &str) -> Option<&'static str> {
    const CONTAINER: [&str; 7] = [
        "--container",
        "--dist",
        "--fresh",
        "--daemon",
        "--dockerdaemon",
        "--image-name",
        "--node-version",
    ];
    CONTAINER.contains(&name).then_some(
        "write a Dockerfile whose command is `maitred run`, which is made to be process 1",
    )
}

/// Whether this is a flag of pm2.
pub(super) fn is_one(name: &str) -> bool {
    FLAGS.iter().any(|flag| {
        let short = flag.short.map(|short| format!("-{short}"));
        name == flag.name || short.as_deref() == Some(name)
    })
}
