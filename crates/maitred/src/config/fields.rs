//! The fields of an app, as users write them: the one definition that files, flags and the
//! reference page share.
//!
//! Each field has a name (pm2's, where pm2 has it), a kind, other names under which it is known,
//! and the flags that set it. All are optional; what they mean when they are not there is decided
//! in [`super::resolve`], and told here in words.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::kind::{
    Account, Bytes, ExitCodes, Kind, LogTarget, Millis, MinUptime, Ports, Schedule, Texts,
    Variables, WatchDelay, WatchOptions, Watched, Words,
};
use super::{ExecMode, FilterEnv, Instances, LogFormat, Policy};

/// What is known of a field.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its name in files.
    pub(crate) name: &'static str,
    /// Other names for it. Any of them may also be written in camelCase or with dashes.
    pub(crate) aliases: &'static [&'static str],
    /// What it means.
    pub(crate) help: &'static str,
    /// What is so when it is not written, in words.
    pub(crate) default: &'static str,
    /// What its value should be, as in "expected …".
    pub(crate) expects: &'static str,
    /// The flags that set it.
    pub(crate) flags: &'static [Flag],
    /// Reads a value into an entry.
    set: fn(&mut Entry, &Value) -> Option<()>,
    /// What a value is, for a message.
    found: fn(&Value) -> String,
}

impl Field {
    /// Reads the value into the entry.
    ///
    /// # Errors
    /// Says what was expected, and what there was.
    pub(crate) fn set(&self, entry: &mut Entry, value: &Value) -> Result<(), String> {
        (self.set)(entry, value).ok_or_else(|| {
            let found = (self.found)(value);
            format!("expected {}, not {found}", self.expects)
        })
    }
}

/// A flag of the command line that sets a field.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) takes: Takes,
    /// Whether `run` has it too.
    pub(crate) run: bool,
}

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// A value, called so in the help.
    Value(&'static str),
    /// Perhaps a value; without one it means `true`.
    Optional(&'static str),
    /// Several values, separated by commas, or the flag again.
    List(&'static str),
    /// Several values, one after the other.
    Row(&'static str),
    /// Nothing; it means this.
    Nothing(bool),
    /// Nothing; it means this word.
    Word(&'static str),
}

const fn flag(long: &'static str, takes: Takes) -> Flag {
    Flag {
        long,
        short: None,
        aliases: &[],
        takes,
        run: false,
    }
}

impl Flag {
    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn aka(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn also_of_run(mut self) -> Self {
        self.run = true;
        self
    }
}

macro_rules! fields {
    ($(
        $(#[doc = $help:literal])+
        $name:ident: $kind:ty {
            aliases: $aliases:expr,
            default: $default:literal,
            flags: $flags:expr,
        }
    )*) => {
        /// An app as the user wrote it: what is not there was not said.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(crate) struct Entry {
            $( $(#[doc = $help])+ pub(crate) $name: Option<$kind>, )*
            /// Sets of variables that can be chosen by name: `env_production` and the like.
            pub(crate) env_sets: BTreeMap<String, Variables>,
        }

        /// All fields, in the order of the reference page.
        pub(crate) const FIELDS: &[Field] = &[$(
            Field {
                name: stringify!($name),
                aliases: $aliases,
                help: concat!($($help),+),
                default: $default,
                expects: <$kind as Kind>::EXPECTS,
                flags: $flags,
                set: |entry, value| {
                    entry.$name = Some(<$kind as Kind>::read(value)?);
                    Some(())
                },
                found: <$kind as Kind>::found,
            },
        )*];

        impl Entry {
            /// Writes over this one what the other one says.
            pub(crate) fn overlay(&mut self, other: Entry) {
                $( if other.$name.is_some() { self.$name = other.$name; } )*
                self.env_sets.extend(other.env_sets);
            }
        }
    };
}

fields! {
    /// What to run: a script, whose interpreter follows from its name, or a program. A command
    /// with spaces is run by a shell.
    script: OsString {
        aliases: &["exec", "cmd", "command"],
        default: "has to be there",
        flags: &[],
    }
    /// How the app is called in lists, logs and commands.
    name: String {
        aliases: &[],
        default: "the script's name without folder and extension",
        flags: &[flag("name", Takes::Value("NAME")).short('n').also_of_run()],
    }
    /// The group that it belongs to; a command that names the group acts on all of its apps.
    namespace: String {
        aliases: &[],
        default: "default",
        flags: &[flag("namespace", Takes::Value("NAME"))],
    }
    /// Arguments for the script.
    args: Words {
        aliases: &[],
        default: "none",
        flags: &[],
    }
    /// The folder to run in. In a file, relative to the file's folder.
    cwd: PathBuf {
        aliases: &[],
        default: "the folder of the config file, or else the current one",
        flags: &[flag("cwd", Takes::Value("DIR")).also_of_run()],
    }
    /// The program that runs the script; "none" for the script itself, "node@20.1.0" for a version
    /// that nvm has installed.
    interpreter: String {
        aliases: &["exec_interpreter"],
        default: "by the script's extension",
        flags: &[flag("interpreter", Takes::Value("PROGRAM")).also_of_run()],
    }
    /// Arguments for the interpreter, before the script; a text is split at spaces.
    interpreter_args: Words {
        aliases: &["node_args"],
        default: "none",
        flags: &[flag("interpreter-args", Takes::Value("ARGS")).aka(&["node-args"]).also_of_run()],
    }
    /// How many copies: a number, "max" or 0 for one a processor, -K for all processors but K.
    instances: Instances {
        aliases: &[],
        default: "1",
        flags: &[flag("instances", Takes::Value("N|max|-K")).short('i').also_of_run()],
    }
    /// Whose listening sockets the instances use: those of the app, which they share (cluster), or
    /// each its own (fork).
    exec_mode: ExecMode {
        aliases: &[],
        default: "cluster where `instances` is written, else fork",
        flags: &[
            flag("exec-mode", Takes::Value("MODE")),
            flag("execute-command", Takes::Word("fork")).short('x'),
        ],
    }
    /// Which instance gets the next connection.
    balance: Policy {
        aliases: &[],
        default: "next_available",
        flags: &[flag("balance", Takes::Value("POLICY")).also_of_run()],
    }
    /// How many connections one instance may hold at a time; further ones wait for one that has
    /// room.
    max_connections: u32 {
        aliases: &[],
        default: "no limit",
        flags: &[flag("max-connections", Takes::Value("N")).also_of_run()],
    }
    /// How many connections may wait for an instance; more wait in the kernel's backlog.
    queue: u32 {
        aliases: &[],
        default: "4096",
        flags: &[flag("queue", Takes::Value("N")).also_of_run()],
    }
    /// How long a connection may wait for an instance before it is closed.
    queue_timeout: Millis {
        aliases: &[],
        default: "30s",
        flags: &[flag("queue-timeout", Takes::Value("TIME")).also_of_run()],
    }
    /// TCP ports that each instance opens for itself, not shared (a debugger's, say).
    private_ports: Ports {
        aliases: &["private_port"],
        default: "none",
        flags: &[flag("private-port", Takes::List("PORT")).also_of_run()],
    }
    /// Sets the variable PORT.
    port: u16 {
        aliases: &[],
        default: "not set",
        flags: &[flag("port", Takes::Value("PORT"))],
    }
    /// Variables for the app, over those that it inherits.
    env: Variables {
        aliases: &[],
        default: "none",
        flags: &[],
    }
    /// Files with lines of NAME=value, relative to `cwd`. What `env` says goes before them, and a
    /// later file before an earlier one.
    env_file: Texts {
        aliases: &["env_files"],
        default: "none",
        flags: &[flag("env-file", Takes::List("FILE")).also_of_run()],
    }
    /// Which variables are not inherited: all (true), or those whose names contain one of these.
    filter_env: FilterEnv {
        aliases: &[],
        default: "false",
        flags: &[flag("filter-env", Takes::Optional("PART")).also_of_run()],
    }
    /// A variable that counts: each instance gets its value (or 0) plus the instance's number.
    increment_var: String {
        aliases: &[],
        default: "none",
        flags: &[flag("increment-var", Takes::Value("NAME")).also_of_run()],
    }
    /// The variable that holds an instance's number.
    instance_var: String {
        aliases: &[],
        default: "NODE_APP_INSTANCE",
        flags: &[flag("instance-var", Takes::Value("NAME")).also_of_run()],
    }
    /// Adds the name of the chosen set of variables to the app's: api-production.
    append_env_to_name: bool {
        aliases: &[],
        default: "false",
        flags: &[],
    }
    /// Whether the app is started when it is added; if not, it stands there stopped.
    autostart: bool {
        aliases: &[],
        default: "true",
        flags: &[flag("no-autostart", Takes::Nothing(false))],
    }
    /// Whether an instance that ends is started again.
    autorestart: bool {
        aliases: &[],
        default: "true",
        flags: &[flag("no-autorestart", Takes::Nothing(false)).also_of_run()],
    }
    /// Exit codes after which an instance is not started again.
    stop_exit_codes: ExitCodes {
        aliases: &["stop_exit_code"],
        default: "none",
        flags: &[flag("stop-exit-codes", Takes::Row("CODE")).also_of_run()],
    }
    /// A run that is shorter than this is unstable.
    min_uptime: MinUptime {
        aliases: &[],
        default: "1s",
        flags: &[flag("min-uptime", Takes::Value("TIME")).also_of_run()],
    }
    /// How many unstable runs in a row are tried again.
    max_restarts: u32 {
        aliases: &[],
        default: "16",
        flags: &[flag("max-restarts", Takes::Value("N")).also_of_run()],
    }
    /// A fixed pause before each restart, instead of one that grows.
    restart_delay: Millis {
        aliases: &[],
        default: "a pause that grows from 100ms",
        flags: &[flag("restart-delay", Takes::Value("TIME")).also_of_run()],
    }
    /// A pause before each restart that begins with this, and grows by half each time, up to 15s.
    exp_backoff_restart_delay: Millis {
        aliases: &[],
        default: "100ms",
        flags: &[flag("exp-backoff-restart-delay", Takes::Value("TIME")).also_of_run()],
    }
    /// An instance that uses more memory than this is restarted.
    max_memory_restart: Bytes {
        aliases: &["max_memory"],
        default: "no limit",
        flags: &[flag("max-memory-restart", Takes::Value("SIZE"))],
    }
    /// Restarts the app at these times: a cron pattern of five fields, or six with seconds first.
    /// "TZ=Europe/Berlin" before it chooses a time zone. 0 switches it off.
    cron_restart: Schedule {
        aliases: &["cron"],
        default: "never",
        flags: &[flag("cron-restart", Takes::Value("PATTERN")).short('c').aka(&["cron"])],
    }
    /// The time zone of `cron_restart`, by its IANA name.
    cron_timezone: String {
        aliases: &["cron_tz", "timezone"],
        default: "the machine's",
        flags: &[flag("cron-timezone", Takes::Value("ZONE"))],
    }
    /// Restarts the app when files change: in the folder it runs in (true), or in these paths.
    watch: Watched {
        aliases: &[],
        default: "false",
        flags: &[flag("watch", Takes::Optional("PATH"))],
    }
    /// What is not watched: names, paths, globs, or "regex:" with a regular expression.
    ignore_watch: Texts {
        aliases: &["watch_ignore"],
        default: "node_modules, and what begins with a dot",
        flags: &[flag("ignore-watch", Takes::List("PATTERN"))],
    }
    /// How long nothing more must have changed before the app is restarted.
    watch_delay: WatchDelay {
        aliases: &[],
        default: "200ms",
        flags: &[flag("watch-delay", Takes::Value("TIME"))],
    }
    /// Settings for pm2's watcher. `ignored` and `followSymlinks` have a meaning here.
    watch_options: WatchOptions {
        aliases: &[],
        default: "none",
        flags: &[],
    }
    /// From the signal that asks an instance to stop to the one that kills it.
    kill_timeout: Millis {
        aliases: &[],
        default: "1600ms",
        flags: &[flag("kill-timeout", Takes::Value("TIME")).short('k').also_of_run()],
    }
    /// Whether a stop asks all processes of an instance to end, or only its first one.
    treekill: bool {
        aliases: &[],
        default: "true",
        flags: &[flag("no-treekill", Takes::Nothing(false))],
    }
    /// Asks an instance to stop by `process.send("shutdown")`, and not by a signal.
    shutdown_with_message: bool {
        aliases: &[],
        default: "false",
        flags: &[flag("shutdown-with-message", Takes::Nothing(true))],
    }
    /// An instance is up when it has called `process.send("ready")`, not before.
    wait_ready: bool {
        aliases: &[],
        default: "false",
        flags: &[flag("wait-ready", Takes::Nothing(true))],
    }
    /// How long an instance may take until it is up; a reload that takes longer has failed.
    listen_timeout: Millis {
        aliases: &[],
        default: "30s",
        flags: &[flag("listen-timeout", Takes::Value("TIME"))],
    }
    /// The file for standard output; "/dev/null" for none. Relative to `cwd`.
    out_file: LogTarget {
        aliases: &["out", "output", "out_log"],
        default: "in the home folder",
        flags: &[flag("output", Takes::Value("FILE")).short('o')],
    }
    /// The file for standard error; "/dev/null" for none. Relative to `cwd`.
    error_file: LogTarget {
        aliases: &["error", "err", "err_file", "err_log"],
        default: "in the home folder",
        flags: &[flag("error", Takes::Value("FILE")).short('e')],
    }
    /// A file for both together; true for one in the home folder.
    log_file: LogTarget {
        aliases: &["log"],
        default: "none",
        flags: &[flag("log", Takes::Optional("FILE")).short('l')],
    }
    /// One file for all instances, not one for each.
    merge_logs: bool {
        aliases: &["combine_logs"],
        default: "true for a single instance in fork mode, else false",
        flags: &[flag("merge-logs", Takes::Nothing(true))],
    }
    /// Keeps no logs at all.
    disable_logs: bool {
        aliases: &[],
        default: "false",
        flags: &[flag("disable-logs", Takes::Nothing(true))],
    }
    /// Writes the time before each line, as YYYY-MM-DDTHH:mm:ss.
    time: bool {
        aliases: &[],
        default: "false",
        flags: &[flag("time", Takes::Nothing(true))],
    }
    /// Writes the time before each line, in this format of day.js.
    log_date_format: String {
        aliases: &[],
        default: "none",
        flags: &[flag("log-date-format", Takes::Value("FORMAT"))],
    }
    /// How lines are written: as they are (raw), or each as a JSON object (json).
    log_type: LogFormat {
        aliases: &["log_format"],
        default: "raw",
        flags: &[flag("log-type", Takes::Value("TYPE"))],
    }
    /// Whether log files are put aside when they have grown.
    log_rotate: bool {
        aliases: &[],
        default: "true",
        flags: &[flag("no-log-rotate", Takes::Nothing(false))],
    }
    /// The size at which a log file is put aside.
    log_max_size: Bytes {
        aliases: &["log_max_bytes"],
        default: "10M",
        flags: &[flag("log-max-size", Takes::Value("SIZE"))],
    }
    /// How many old log files are kept.
    log_retain: u32 {
        aliases: &["log_max_files"],
        default: "10",
        flags: &[flag("log-retain", Takes::Value("N"))],
    }
    /// Whether old log files are compressed (gzip).
    log_compress: bool {
        aliases: &[],
        default: "false",
        flags: &[flag("log-compress", Takes::Nothing(true))],
    }
    /// Puts log files aside also whenever so much time has gone by: 1d for each day.
    log_rotate_interval: Millis {
        aliases: &[],
        default: "by size alone",
        flags: &[flag("log-rotate-interval", Takes::Value("TIME"))],
    }
    /// Where the pid of each instance is written.
    pid_file: LogTarget {
        aliases: &["pid"],
        default: "in the home folder",
        flags: &[flag("pid", Takes::Value("FILE")).short('p')],
    }
    /// The user whose rights the processes have. Only root can give them another's.
    uid: Account {
        aliases: &["user"],
        default: "who starts the app",
        flags: &[flag("uid", Takes::Value("USER")).short('u').aka(&["user"])],
    }
    /// The group whose rights the processes have.
    gid: Account {
        aliases: &["group"],
        default: "the user's",
        flags: &[flag("gid", Takes::Value("GROUP"))],
    }
    /// Whether Node.js shows the lines of the sources in stack traces (--enable-source-maps).
    source_map_support: bool {
        aliases: &[],
        default: "true where a file beside the script has its name and .map",
        flags: &[
            flag("source-map-support", Takes::Nothing(true)),
            flag("disable-source-map-support", Takes::Nothing(false)),
        ],
    }
    /// Starts the app even if it runs already.
    force: bool {
        aliases: &[],
        default: "false",
        flags: &[flag("force", Takes::Nothing(true)).short('f')],
    }
}

/// Fields that pm2 or bm2 know and that do nothing here, with the reason.
pub(crate) const IGNORED: &[(&str, &str)] = &[
    ("vizion", "versions are not looked up in repositories"),
    ("pmx", "there is no Keymetrics here"),
    ("automation", "there is no Keymetrics here"),
    ("trace", "there is no tracing here"),
    ("disable_trace", "there is no tracing here"),
    ("deep_monitoring", "there is no Keymetrics here"),
    ("event_loop_inspector", "there is no Keymetrics here"),
    ("v8", "there is no Keymetrics here"),
    ("io", "there is no Keymetrics here"),
    ("post_update", "there is no Keymetrics here"),
    ("install_url", "there are no modules here"),
    ("username", "it follows from the process"),
    ("windows_hide", "there is no Windows here"),
    ("kill_retry_time", "the end of a process is not polled for"),
    ("name_prefix", "pm2 does not use it either"),
    ("write", "it is a flag of pm2's alone"),
    (
        "reuse_port",
        "the instances of a cluster share their port in any case",
    ),
];

/// The field of this name, in whichever spelling.
pub(crate) fn field(name: &str) -> Option<&'static Field> {
    let name = plain_name(name);
    FIELDS.iter().find(|field| {
        plain_name(field.name) == name || field.aliases.iter().any(|it| plain_name(it) == name)
    })
}

/// Why a field of this name does nothing here, if it is known.
pub(crate) fn ignored(name: &str) -> Option<&'static str> {
    let name = plain_name(name);
    let mut all = IGNORED.iter();
    all.find(|(ignored, _)| plain_name(ignored) == name)
        .map(|(_, reason)| *reason)
}

/// The name that is nearest to this one, if it can have been meant.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let name = plain_name(name);
    let names = FIELDS.iter().flat_map(|field| {
        [field.name]
            .into_iter()
            .chain(field.aliases.iter().copied())
    });
    names
        .map(|known| (strsim::jaro_winkler(&plain_name(known), &name), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

/// The same for `max_memory_restart`, `maxMemoryRestart` and `max-memory-restart`.
fn plain_name(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_fields_share_a_name_or_a_flag() {
        let mut names = BTreeSet::new();
        let mut flags = BTreeSet::new();
        for field in FIELDS {
            for name in [field.name].iter().chain(field.aliases) {
                assert!(names.insert(plain_name(name)), "{name}");
                assert!(ignored(name).is_none(), "{name}");
                assert!(super::field(name).is_some());
            }
            for flag in field.flags {
                for long in [flag.long].iter().chain(flag.aliases) {
                    assert!(flags.insert((*long).to_owned()), "{long}");
                }
                if let Some(short) = flag.short {
                    assert!(flags.insert(short.to_string()), "{short}");
                }
            }
        }
    }

    #[test]
    fn spellings() {
        for (name, expected) in [
            ("max_memory_restart", "max_memory_restart"),
            ("maxMemoryRestart", "max_memory_restart"),
            ("max-memory-restart", "max_memory_restart"),
            ("execMode", "exec_mode"),
            ("exec", "script"),
            ("nodeArgs", "interpreter_args"),
            ("exec_interpreter", "interpreter"),
            ("err", "error_file"),
            ("combine_logs", "merge_logs"),
            ("user", "uid"),
        ] {
            assert_eq!(
                field(name).map(|field| field.name),
                Some(expected),
                "{name}"
            );
        }
        assert!(field("max_memory_restarts").is_none());
        assert_eq!(nearest("max_memory_restarts"), Some("max_memory_restart"));
        assert_eq!(nearest("instance"), Some("instances"));
        assert_eq!(nearest("scirpt"), Some("script"));
        assert_eq!(nearest("xyzzy"), None);
        assert!(ignored("windowsHide").is_some());
    }

    /// What pm2 7 takes in a file; those in two words also in camelCase.
    #[test]
    fn every_field_of_pm2_is_known() {
        const FIELDS_OF_PM2: &str = "script exec name name_prefix filter_env namespace install_url \
            cwd args exec_interpreter interpreter node_args interpreterArgs interpreter_args \
            out_file out output out_log error_file error err err_file err_log log_file log \
            disable_logs log_type log_date_format time env max_memory_restart pid_file pid \
            restart_delay exp_backoff_restart_delay source_map_support wait_ready instances \
            kill_timeout shutdown_with_message listen_timeout cron_restart cron merge_logs \
            combine_logs vizion autostart autorestart stop_exit_codes watch_delay watch \
            ignore_watch watch_options min_uptime max_restarts exec_mode force \
            append_env_to_name post_update trace disable_trace v8 event_loop_inspector \
            deep_monitoring increment_var instance_var pmx automation treekill port username uid \
            user gid windowsHide kill_retry_time write io cmd command";
        for name in FIELDS_OF_PM2.split_whitespace() {
            assert!(field(name).is_some() || ignored(name).is_some(), "{name}");
        }
    }
}
