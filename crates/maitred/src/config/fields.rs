//! The fields of an app, as users write them: the one definition that files, flags and the
//! reference page share.
//!
//! Each field has a name (pm2's, where pm2 has it), a kind, other names under which it is known,
//! and the flags that set it. All are optional; what they mean when they are not there is decided
//! in [`super::resolve`], and told here in words.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::field::{Concern, Field, Takes, concern, flag};
use super::kind::{
    Account, Bytes, ExitCodes, Kind, LogTarget, Millis, MinUptime, Patterns, Ports, Schedule,
    Texts, Variables, WatchDelay, WatchOptions, Watched, Words,
};
use super::requests::{AccessFormat, Per, Retry};
use super::{ExecMode, FilterEnv, Instances, KillSignal, LogFormat, Policy};

macro_rules! fields {
    ($(
        $(#[doc = $help:literal])+
        $name:ident: $kind:ty {
            aliases: $aliases:expr,
            default: $default:literal,
            flags: $flags:expr,
            $(of: $of:expr,)?
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
                read: |entry, value| {
                    entry.$name = Some(<$kind as Kind>::read(value)?);
                    Some(())
                },
                found: <$kind as Kind>::found,
                is_set: |entry| entry.$name.is_some(),
                of: concern(&[$($of)?]),
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
        default: "cluster where `instances` or `per: request` is written, else fork",
        flags: &[
            flag("exec-mode", Takes::Value("MODE")).also_of_run(),
            flag("execute-command", Takes::Word("fork")).short('x').also_of_run(),
        ],
    }
    /// What an instance is given: each connection, with whatever is spoken over it, or each HTTP
    /// request by itself.
    per: Per {
        aliases: &[],
        default: "connection",
        flags: &[flag("per", Takes::Value("WHAT")).also_of_run()],
    }
    /// Which instance gets the next connection or request. `sticky` goes by a cookie, and needs
    /// `per: request`.
    balance: Policy {
        aliases: &[],
        default: "next_available",
        flags: &[flag("balance", Takes::Value("POLICY")).also_of_run()],
        of: Concern::SharedSockets,
    }
    /// How many connections one instance may hold at a time; further ones wait for one that has
    /// room. With `per: request` that is what `max_concurrency` is for.
    max_connections: u32 {
        aliases: &[],
        default: "no limit",
        flags: &[flag("max-connections", Takes::Value("N")).also_of_run()],
        of: Concern::Connections,
    }
    /// How many connections may wait for an instance; more wait in the kernel's backlog.
    queue: u32 {
        aliases: &[],
        default: "4096",
        flags: &[flag("queue", Takes::Value("N")).also_of_run()],
        of: Concern::SharedSockets,
    }
    /// How long a connection may wait for an instance before it is closed.
    queue_timeout: Millis {
        aliases: &[],
        default: "30s",
        flags: &[flag("queue-timeout", Takes::Value("TIME")).also_of_run()],
        of: Concern::SharedSockets,
    }
    /// With `per: request`: how many requests one instance may have in progress; further ones wait
    /// for one that has room.
    max_concurrency: u32 {
        aliases: &[],
        default: "no limit",
        flags: &[flag("max-concurrency", Takes::Value("N")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: how many requests of one client may be in progress, WebSockets among
    /// them; one more is answered with 429. A client is an address, as `trust_proxy` lets it be
    /// known, and with IPv6 a network of 64 bits.
    client_limit: u32 {
        aliases: &[],
        default: "no limit",
        flags: &[flag("client-limit", Takes::Value("N")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: what is sent to another instance when one fails, once. `idempotent`:
    /// requests that change nothing and have no body.
    retry: Retry {
        aliases: &[],
        default: "none",
        flags: &[flag("retry", Takes::Value("WHAT")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: balancers before this one, whose X-Forwarded and Forwarded fields are
    /// believed: addresses, and networks such as 10.0.0.0/8.
    trust_proxy: Texts {
        aliases: &[],
        default: "none",
        flags: &[flag("trust-proxy", Takes::List("NETWORK")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: every connection begins with a PROXY header, version 1 or 2.
    proxy_protocol: bool {
        aliases: &[],
        default: "false",
        flags: &[flag("proxy-protocol", Takes::Nothing(true)).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: a file with a certificate and its chain, in PEM; then TLS is spoken to
    /// clients. Several, with as many keys, for several names. Read again when they change.
    tls_cert: Texts {
        aliases: &[],
        default: "none",
        flags: &[flag("tls-cert", Takes::List("FILE")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: the file with the key for `tls_cert`, in PEM.
    tls_key: Texts {
        aliases: &[],
        default: "none",
        flags: &[flag("tls-key", Takes::List("FILE")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: a field of this name in each response tells which instance gave it.
    instance_header: String {
        aliases: &[],
        default: "none",
        flags: &[flag("instance-header", Takes::Value("NAME")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: a file in which each request gets a line when it is over; "-" for
    /// standard output, where the app is in the foreground. Relative to `cwd`. It is rotated and
    /// opened again as the app's logs are.
    access_log: String {
        aliases: &[],
        default: "none",
        flags: &[flag("access-log", Takes::Value("FILE")).also_of_run()],
        of: Concern::Requests,
    }
    /// The form of those lines: `combined`, as Apache and nginx have it, with the seconds that the
    /// request took, the instance and the request's number behind it; or `json`.
    access_log_format: AccessFormat {
        aliases: &[],
        default: "combined",
        flags: &[flag("access-log-format", Takes::Value("FORMAT")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: the largest body of a request.
    max_body: Bytes {
        aliases: &[],
        default: "no limit",
        flags: &[flag("max-body", Takes::Value("SIZE")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: the largest head of a request. Node and Bun take 16 kB unless
    /// `--max-http-header-size` says otherwise, and maitred's own fields need some of it. The head of a
    /// response may have as much, or 256 kB.
    max_head: Bytes {
        aliases: &[],
        default: "32k",
        flags: &[flag("max-head", Takes::Value("SIZE")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: how many header fields a request may have. Node shows its app the first
    /// 1000 (`maxHeadersCount`). A response may have 10,000.
    max_fields: u32 {
        aliases: &[],
        default: "1000",
        flags: &[flag("max-fields", Takes::Value("N")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: how long an instance may take to begin its response; 0 for ever.
    response_timeout: Millis {
        aliases: &[],
        default: "60s",
        flags: &[flag("response-timeout", Takes::Value("TIME")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: how long a request's head may take to arrive.
    header_timeout: Millis {
        aliases: &[],
        default: "30s",
        flags: &[flag("header-timeout", Takes::Value("TIME")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: how long a client's connection may be idle between requests.
    idle_timeout: Millis {
        aliases: &[],
        default: "75s",
        flags: &[flag("idle-timeout", Takes::Value("TIME")).also_of_run()],
        of: Concern::Requests,
    }
    /// With `per: request`: whether a client that has closed its sending side still gets the response
    /// to its request. If not, it has left, and its request is called off: TCP does not tell the one
    /// from the other, and most clients that close have left.
    half_closed_clients: bool {
        aliases: &[],
        default: "false",
        flags: &[flag("half-closed-clients", Takes::Nothing(true)).also_of_run()],
        of: Concern::Requests,
    }
    /// TCP and UDP ports that each instance opens for itself, not shared (a debugger's, say).
    private_ports: Ports {
        aliases: &["private_port"],
        default: "none",
        flags: &[flag("private-port", Takes::List("PORT")).also_of_run()],
        of: Concern::SharedSockets,
    }
    /// TCP ports below 1024 that an app which runs as another user (`uid`, `gid`) may listen on
    /// although only root may. That of `port` is one of them.
    privileged_ports: Ports {
        aliases: &["privileged_port"],
        default: "none",
        flags: &[flag("privileged-port", Takes::List("PORT")).also_of_run()],
    }
    /// Sets the variable PORT.
    port: u16 {
        aliases: &[],
        default: "not set",
        flags: &[flag("port", Takes::Value("PORT")).also_of_run()],
    }
    /// Variables for the app, over those that it inherits.
    env: Variables {
        aliases: &[],
        default: "none",
        flags: &[],
    }
    /// Files with lines of NAME=value, relative to `cwd`, as the dotenv package reads them: `$` is
    /// not expanded. What `env` says goes before them, and a
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
    /// An instance that uses more memory than this, with all that it has started, is replaced. In a
    /// unit of systemd with `Delegate=memory`, as `startup` writes it, the kernel kills one that
    /// comes to twice as much, or 256 MB more if that is more.
    max_memory_restart: Bytes {
        aliases: &["max_memory"],
        default: "no limit",
        flags: &[flag("max-memory-restart", Takes::Value("SIZE")).also_of_run()],
    }
    /// Restarts the app at these times: a cron pattern of five fields, or six with seconds first.
    /// "TZ=Europe/Berlin" before it chooses a time zone. 0 switches it off.
    cron_restart: Schedule {
        aliases: &["cron"],
        default: "never",
        flags: &[flag("cron-restart", Takes::Value("PATTERN")).short('c').aka(&["cron"]).also_of_run()],
    }
    /// The time zone of `cron_restart`, by its IANA name.
    cron_timezone: String {
        aliases: &["cron_tz", "timezone"],
        default: "the machine's",
        flags: &[flag("cron-timezone", Takes::Value("ZONE")).also_of_run()],
    }
    /// Restarts the app when files change: in the folder it runs in (true), or in these paths.
    watch: Watched {
        aliases: &[],
        default: "false",
        flags: &[flag("watch", Takes::Optional("PATH")).also_of_run()],
    }
    /// What is not watched: names, paths, globs, or "regex:" with a regular expression. A text is
    /// split at spaces.
    ignore_watch: Patterns {
        aliases: &["watch_ignore"],
        default: "node_modules, and what begins with a dot",
        flags: &[flag("ignore-watch", Takes::List("PATTERN")).also_of_run()],
    }
    /// How long nothing more must have changed before the app is restarted.
    watch_delay: WatchDelay {
        aliases: &[],
        default: "200ms",
        flags: &[flag("watch-delay", Takes::Value("TIME")).also_of_run()],
    }
    /// Settings for pm2's watcher. `ignored` and `followSymlinks` have a meaning here.
    watch_options: WatchOptions {
        aliases: &[],
        default: "none",
        flags: &[],
    }
    /// From the signal that asks an instance to stop to the one that kills it. With `per: request`
    /// the first half of it is for the requests that it has: the signal comes when they are answered.
    kill_timeout: Millis {
        aliases: &[],
        default: "1600ms",
        flags: &[flag("kill-timeout", Takes::Value("TIME")).short('k').also_of_run()],
    }
    /// The signal that asks an instance to stop: SIGTERM, TERM or 15.
    kill_signal: KillSignal {
        aliases: &[],
        default: "the variable PM2_KILL_SIGNAL of the command that starts the app, or else SIGINT",
        flags: &[flag("kill-signal", Takes::Value("SIGNAL")).also_of_run()],
    }
    /// Whether all processes of an instance end with it, when it is stopped and when it crashes. If
    /// not, those that it has started are left alone until the app ends.
    treekill: bool {
        aliases: &[],
        default: "true",
        flags: &[flag("no-treekill", Takes::Nothing(false)).also_of_run()],
    }
    /// Asks an instance to stop by `process.send("shutdown")`, and not by a signal.
    shutdown_with_message: bool {
        aliases: &[],
        default: "true where the command that starts the app has the variable PM2_KILL_USE_MESSAGE, else false",
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
    /// Where the pid of each instance is written, readable for all (mode 0644). With `uid`, what
    /// maitred writes is written with that user's rights where those suffice.
    pid_file: LogTarget {
        aliases: &["pid"],
        default: "in the home folder",
        flags: &[flag("pid", Takes::Value("FILE")).short('p')],
    }
    /// The user whose rights the processes have. Only root can give them another's.
    uid: Account {
        aliases: &["user"],
        default: "who starts the app",
        flags: &[flag("uid", Takes::Value("USER")).short('u').aka(&["user"]).also_of_run()],
    }
    /// The group whose rights the processes have.
    gid: Account {
        aliases: &["group"],
        default: "the user's",
        flags: &[flag("gid", Takes::Value("GROUP")).also_of_run()],
    }
    /// Whether Node.js shows the lines of the sources in stack traces (--enable-source-maps).
    source_map_support: bool {
        aliases: &[],
        default: "true where a file beside the script has its name and .map",
        flags: &[
            flag("source-map-support", Takes::Nothing(true)).also_of_run(),
            flag("disable-source-map-support", Takes::Nothing(false)).also_of_run(),
        ],
    }
    /// Starts the app even if it runs already.
    force: bool {
        aliases: &[],
        default: "false",
        flags: &[flag("force", Takes::Nothing(true)).short('f')],
    }
}
