//! The fields of an app, as users write them: the one definition that config files, flags, help,
//! the reference page and the JSON Schema share.
//!
//! A row has a name (pm2's, where pm2 has it), a kind of value, and in brackets its category, what it
//! needs to have an effect, and how a change takes effect. All fields are optional; [`super::resolve`]
//! holds the defaults, and the row tells them in words.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cron::Overlap;
use super::depends::DependsOn;
use super::encode::os_option;
use super::field::{Category, Change, Field, Needs, Takes, companion, flag};
use super::health::HealthCheck;
use super::kind::{
    Account, Bytes, ExitCodes, Kind, LogTarget, Millis, MinUptime, Patterns, Ports, Schedule,
    Texts, Variables, WatchDelay, WatchOptions, Watched, Words, instead_of,
};
use super::metrics::MetricsAddress;
use super::requests::{AccessFormat, Per, Retry};
use super::{ExecMode, FilterEnv, Instances, KillSignal, LogFormat, Policy};

macro_rules! fields {
    ($(
        $(#[doc = $help:literal])+
        $(#[serde($($serde:tt)+)])?
        $name:ident: $kind:ty [$category:ident, $needs:ident, $change:ident] {
            $(aliases: [$($alias:literal),*],)?
            default: $default:literal,
            examples: $examples:expr,
            $(with: $with:literal,)?
            $(flags: [$($flag:expr),* $(,)?],)?
        }
    )*) => {
        /// An app as the user wrote it; `None` where a field was not written.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct Entry {
            $(
                $(#[doc = $help])+
                #[serde(default, skip_serializing_if = "Option::is_none" $(, $($serde)+)?)]
                pub $name: Option<$kind>,
            )*
            /// Sets of variables that can be chosen by name: `env_production` and the like.
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            pub env_sets: BTreeMap<String, Variables>,
        }

        /// All fields, in the order of the reference page.
        pub const FIELDS: &[Field] = &[$(
            Field {
                name: stringify!($name),
                aliases: &[$($($alias),*)?],
                help: concat!($($help),+),
                category: Category::$category,
                needs: Needs::$needs,
                change: Change::$change,
                with: companion(&[$($with)?]),
                default: $default,
                examples: $examples,
                expects: <$kind as Kind>::EXPECTS,
                schema: <$kind as Kind>::schema,
                flags: &[$($($flag),*)?],
                read: |entry, value| {
                    entry.$name = Some(<$kind as Kind>::read(value)?);
                    Some(())
                },
                found: instead_of::<$kind>,
                is_set: |entry| entry.$name.is_some(),
            },
        )*];

        impl Entry {
            /// Writes over this one what the other one says.
            pub fn overlay(&mut self, other: Entry) {
                $( if other.$name.is_some() { self.$name = other.$name; } )*
                self.env_sets.extend(other.env_sets);
            }
        }
    };
}

fields! {
    /// What to run: a script, whose interpreter follows from its name, or a program. A shell runs a
    /// command line with spaces.
    #[serde(with = "os_option")]
    script: OsString [App, Nothing, Restart] {
        aliases: ["exec", "cmd", "command"],
        default: "required",
        examples: [r#""server.js""#, r#""worker.js""#],
    }
    /// App name.
    name: String [App, Nothing, Never] {
        default: "the script's name without folder and extension",
        examples: [r#""api""#, r#""web""#],
        flags: [flag("name", Takes::Value("NAME")).common().short('n').also_of_run()],
    }
    /// Group of apps. A command that names the group acts on all of its apps.
    namespace: String [App, Nothing, Never] {
        default: "default",
        examples: [r#""shop""#, r#""blog""#],
        flags: [flag("namespace", Takes::Value("NAME"))],
    }
    /// Arguments for the script.
    args: Words [App, Nothing, Restart] {
        default: "none",
        examples: [r#"["--verbose"]"#, r#"["--port", "3000"]"#],
    }
    /// Working directory. In a file, relative to the file's folder.
    #[serde(with = "os_option")]
    cwd: PathBuf [App, Nothing, Restart] {
        default: "the folder of the config file, or else the current one",
        examples: [r#""api""#, r#""web""#],
        flags: [flag("cwd", Takes::Value("DIR")).common().also_of_run()],
    }
    /// Program that runs the script; "none" runs the script itself, "node@20.1.0" a version that
    /// nvm has installed.
    interpreter: String [App, Nothing, Restart] {
        aliases: ["exec_interpreter"],
        default: "by the script's extension and, for TypeScript, the project's files",
        examples: [r#""bun""#, r#""none""#],
        flags: [flag("interpreter", Takes::Value("PROGRAM")).common().also_of_run()],
    }
    /// Arguments for the interpreter, before the script; a text is split at spaces.
    interpreter_args: Words [App, Nothing, Restart] {
        aliases: ["node_args"],
        default: "none",
        examples: [r#"["--max-old-space-size=512"]"#, r#"["--inspect"]"#],
        flags: [flag("interpreter-args", Takes::Value("ARGS")).aka(&["node-args"]).also_of_run()],
    }
    /// Source lines in Node.js stack traces (--enable-source-maps).
    source_map_support: bool [App, Nothing, Restart] {
        default: "true where a file beside the script has its name and .map",
        examples: [r#"true"#, r#"false"#],
        flags: [
            flag("source-map-support", Takes::Nothing(true)).also_of_run(),
            flag("disable-source-map-support", Takes::Nothing(false)).also_of_run(),
        ],
    }
    /// Adds the name of the chosen set of variables to the app's name: api-production.
    append_env_to_name: bool [App, Nothing, Never] {
        default: "false",
        examples: [r#"true"#, r#"false"#],
    }
    /// Number of instances: a number, "max" or 0 for one per processor, -K for all processors but
    /// K.
    instances: Instances [App, Nothing, Live] {
        default: "1",
        examples: [r#"4"#, r#""max""#],
        flags: [flag("instances", Takes::Value("N|max|-K")).common().short('i').also_of_run()],
    }
    /// Listening sockets: shared by all instances (cluster), or opened by each instance for itself
    /// (fork).
    exec_mode: ExecMode [App, Nothing, Recreate] {
        default: "cluster where `instances` or `per: request` is written, else fork",
        examples: [r#""cluster""#, r#""fork""#],
        flags: [
            flag("exec-mode", Takes::Value("MODE")).also_of_run(),
            flag("execute-command", Takes::Word("fork")).short('x').also_of_run(),
        ],
    }
    /// Unit of load balancing: connection (any protocol) or request (HTTP).
    per: Per [Balancing, Nothing, Recreate] {
        default: "connection",
        examples: [r#""request""#, r#""connection""#],
        flags: [flag("per", Takes::Value("WHAT")).common().also_of_run()],
    }
    /// Policy that chooses the instance for the next connection or request. `sticky` follows a
    /// cookie, and needs `per: request`.
    balance: Policy [Balancing, Cluster, Recreate] {
        default: "next_available",
        examples: [r#""round_robin""#, r#""least_conn""#],
        flags: [flag("balance", Takes::Value("POLICY")).common().also_of_run()],
    }
    /// Open connections per instance; further ones wait for an instance that has room. With `per:
    /// request`, use `max_concurrency`.
    max_connections: u32 [Balancing, Connections, Recreate] {
        default: "no limit",
        examples: [r#"100"#, r#"500"#],
        flags: [flag("max-connections", Takes::Value("N")).also_of_run()],
    }
    /// Connections that may wait for an instance; more wait in the kernel's backlog.
    queue: u32 [Balancing, Cluster, Recreate] {
        default: "4096",
        examples: [r#"1000"#, r#"100"#],
        flags: [flag("queue", Takes::Value("N")).also_of_run()],
    }
    /// Longest wait of a connection for an instance; then maitred closes it.
    queue_timeout: Millis [Balancing, Cluster, Recreate] {
        default: "30s",
        examples: [r#""5s""#, r#""60s""#],
        flags: [flag("queue-timeout", Takes::Value("TIME")).also_of_run()],
    }
    /// A kept-alive HTTP/1.1 connection that the app closes between two requests stays open until it has
    /// been idle for so long; its next request goes to a free instance. So clients that keep connections,
    /// balancers above all, do not meet the moment at which the app closes one. Choose more than
    /// the client's own idle time. With `per: request`, use `idle_timeout`.
    keep_alive_timeout: Millis [Balancing, Connections, Recreate] {
        default: "off: the app closes its connections",
        examples: [r#""75s""#, r#""10m""#],
        flags: [flag("keep-alive-timeout", Takes::Value("TIME")).also_of_run()],
    }
    /// TCP and UDP ports that each instance opens for itself instead of sharing them (a debugger's,
    /// for example).
    private_ports: Ports [Balancing, Cluster, Recreate] {
        aliases: ["private_port"],
        default: "none",
        examples: [r#"[9229]"#, r#"[9229, 9464]"#],
        flags: [flag("private-port", Takes::List("PORT")).also_of_run()],
    }
    /// Unix sockets that each instance opens for itself instead of sharing them: file names or paths,
    /// `*` for any characters, `@name` in the abstract namespace. Some need no entry: gunicorn's
    /// `gunicorn.ctl`, names with the process's own number, and those in a temporary folder that
    /// the app has made.
    private_paths: Texts [Balancing, Cluster, Recreate] {
        aliases: ["private_path"],
        default: "none",
        examples: [r#"["metrics.sock"]"#, r#"["/run/app/*.ctl", "@debug"]"#],
        flags: [flag("private-path", Takes::List("PATH")).also_of_run()],
    }
    /// Requests in progress per instance; further ones wait for an instance that has room.
    max_concurrency: u32 [Requests, Requests, Recreate] {
        default: "no limit",
        examples: [r#"10"#, r#"1"#],
        flags: [flag("max-concurrency", Takes::Value("N")).also_of_run()],
    }
    /// Requests in progress per client, WebSockets included; one more gets 429. A client is an
    /// address (with IPv6 a /64 network), as `trust_proxy` makes it known.
    client_limit: u32 [Requests, Requests, Recreate] {
        default: "no limit",
        examples: [r#"20"#, r#"100"#],
        flags: [flag("client-limit", Takes::Value("N")).also_of_run()],
    }
    /// Requests that maitred sends once more, to another instance, when an instance fails.
    /// `idempotent`: requests that change nothing and have no body.
    retry: Retry [Requests, Requests, Recreate] {
        default: "none",
        examples: [r#""idempotent""#, r#""none""#],
        flags: [flag("retry", Takes::Value("WHAT")).also_of_run()],
    }
    /// Proxies in front of maitred whose X-Forwarded and Forwarded fields are believed: addresses,
    /// networks such as 10.0.0.0/8, and `unix` for all clients of the app's Unix sockets.
    trust_proxy: Texts [Requests, Requests, Recreate] {
        default: "none",
        examples: [r#"["10.0.0.0/8"]"#, r#"["127.0.0.1", "unix"]"#],
        flags: [flag("trust-proxy", Takes::List("NETWORK")).also_of_run()],
    }
    /// Every connection begins with a PROXY protocol header, version 1 or 2.
    proxy_protocol: bool [Requests, Requests, Recreate] {
        default: "false",
        examples: [r#"true"#, r#"false"#],
        flags: [flag("proxy-protocol", Takes::Nothing(true)).also_of_run()],
    }
    /// Response field that names the instance which answered.
    instance_header: String [Requests, Requests, Recreate] {
        default: "none",
        examples: [r#""X-Instance""#, r#""X-Served-By""#],
        flags: [flag("instance-header", Takes::Value("NAME")).also_of_run()],
    }
    /// File with one line per finished request; "-" for standard output where the app runs in the
    /// foreground. Relative to `cwd`. It is rotated and reopened as the app's logs are.
    access_log: String [Requests, Requests, Recreate] {
        default: "none",
        examples: [r#""access.log""#, r#""logs/access.log""#],
        flags: [flag("access-log", Takes::Value("FILE")).also_of_run()],
    }
    /// Format of the access log: `combined`, as in Apache and nginx, followed by the request's
    /// duration in seconds, the instance and the request's number; or `json`.
    access_log_format: AccessFormat [Requests, Requests, Recreate] {
        default: "combined",
        examples: [r#""json""#, r#""combined""#],
        with: "access_log",
        flags: [flag("access-log-format", Takes::Value("FORMAT")).also_of_run()],
    }
    /// Largest request body.
    max_body: Bytes [Requests, Requests, Recreate] {
        default: "no limit",
        examples: [r#""10M""#, r#""1M""#],
        flags: [flag("max-body", Takes::Value("SIZE")).also_of_run()],
    }
    /// Largest request head. Node and Bun take 16 kB unless `--max-http-header-size` says
    /// otherwise, and maitred's own fields need some of it. A response head may have as much, or
    /// 256 kB.
    max_head: Bytes [Requests, Requests, Recreate] {
        default: "32k",
        examples: [r#""16k""#, r#""64k""#],
        flags: [flag("max-head", Takes::Value("SIZE")).also_of_run()],
    }
    /// Header fields per request. Node shows its app the first 1000 (`maxHeadersCount`). A response
    /// may have 10,000.
    max_fields: u32 [Requests, Requests, Recreate] {
        default: "1000",
        examples: [r#"100"#, r#"200"#],
        flags: [flag("max-fields", Takes::Value("N")).also_of_run()],
    }
    /// Longest wait for the beginning of a response; 0 for no limit.
    response_timeout: Millis [Requests, Requests, Recreate] {
        default: "60s",
        examples: [r#""30s""#, r#""5m""#],
        flags: [flag("response-timeout", Takes::Value("TIME")).also_of_run()],
    }
    /// Longest time in which a request head must arrive.
    header_timeout: Millis [Requests, Requests, Recreate] {
        default: "30s",
        examples: [r#""10s""#, r#""60s""#],
        flags: [flag("header-timeout", Takes::Value("TIME")).also_of_run()],
    }
    /// Longest idle time of a client connection between requests.
    idle_timeout: Millis [Requests, Requests, Recreate] {
        default: "75s",
        examples: [r#""10s""#, r#""10m""#],
        flags: [flag("idle-timeout", Takes::Value("TIME")).also_of_run()],
    }
    /// A client that has closed its sending side still gets the response to its request. By default
    /// maitred takes it for gone and cancels the request: TCP does not tell the two apart, and most
    /// clients that close have gone.
    half_closed_clients: bool [Requests, Requests, Recreate] {
        default: "false",
        examples: [r#"true"#, r#"false"#],
        flags: [flag("half-closed-clients", Takes::Nothing(true)).also_of_run()],
    }
    /// File with a certificate and its chain, in PEM; clients then speak TLS. For several names,
    /// list several files, with as many keys. Changed files are read again.
    tls_cert: Texts [Tls, Requests, Recreate] {
        default: "none",
        examples: [r#""cert.pem""#, r#""other.pem""#],
        with: "tls_key",
        flags: [flag("tls-cert", Takes::List("FILE")).also_of_run()],
    }
    /// File with the key for `tls_cert`, in PEM.
    tls_key: Texts [Tls, Requests, Recreate] {
        default: "none",
        examples: [r#""key.pem""#, r#""other-key.pem""#],
        with: "tls_cert",
        flags: [flag("tls-key", Takes::List("FILE")).also_of_run()],
    }
    /// Sets the variable PORT.
    port: u16 [Environment, Nothing, Restart] {
        default: "not set",
        examples: [r#"3000"#, r#"8080"#],
        flags: [flag("port", Takes::Value("PORT")).common().also_of_run()],
    }
    /// Variables for the app, over the inherited ones.
    env: Variables [Environment, Nothing, Restart] {
        default: "none",
        examples: [r#"{ "NODE_ENV": "production" }"#, r#"{ "LOG_LEVEL": "debug" }"#],
    }
    /// Files with lines of NAME=value, relative to `cwd`, read as the dotenv package does: `$` is
    /// not expanded. `env` goes over them, and a later file over an earlier one.
    env_file: Texts [Environment, Nothing, Restart] {
        aliases: ["env_files"],
        default: "none",
        examples: [r#"".env""#, r#"".env.local""#],
        flags: [flag("env-file", Takes::List("FILE")).also_of_run()],
    }
    /// Variables that the app does not inherit: all (true), or those whose names contain one of
    /// these texts.
    filter_env: FilterEnv [Environment, Nothing, Restart] {
        default: "false",
        examples: [r#"["AWS_"]"#, r#"true"#],
        flags: [flag("filter-env", Takes::Optional("PART")).also_of_run()],
    }
    /// Variable that counts: each instance gets its value (or 0) plus the instance's number.
    increment_var: String [Environment, Nothing, Restart] {
        default: "none",
        examples: [r#""PORT""#, r#""METRICS_PORT""#],
        flags: [flag("increment-var", Takes::Value("NAME")).also_of_run()],
    }
    /// Variable that holds the instance's number.
    instance_var: String [Environment, Nothing, Restart] {
        default: "NODE_APP_INSTANCE",
        examples: [r#""INSTANCE_ID""#, r#""WORKER_ID""#],
        flags: [flag("instance-var", Takes::Value("NAME")).also_of_run()],
    }
    /// Restarts an instance that has ended.
    autorestart: bool [Restarts, Nothing, Restart] {
        default: "true",
        examples: [r#"false"#, r#"true"#],
        flags: [flag("no-autorestart", Takes::Nothing(false)).also_of_run()],
    }
    /// Exit codes after which an instance is not restarted.
    stop_exit_codes: ExitCodes [Restarts, Nothing, Restart] {
        aliases: ["stop_exit_code"],
        default: "none",
        examples: [r#"[0]"#, r#"[0, 3]"#],
        flags: [flag("stop-exit-codes", Takes::Row("CODE")).also_of_run()],
    }
    /// A run that ends before it has listened for this long counts as unstable; of an app that never
    /// listens, a shorter run.
    min_uptime: MinUptime [Restarts, Nothing, Restart] {
        default: "1s",
        examples: [r#""10s""#, r#""500ms""#],
        flags: [flag("min-uptime", Takes::Value("TIME")).also_of_run()],
    }
    /// Unstable runs in a row before maitred gives up. Time in service pays off earlier ones: half of
    /// `min_uptime` pays for one.
    max_restarts: u32 [Restarts, Nothing, Restart] {
        default: "16",
        examples: [r#"5"#, r#"100"#],
        flags: [flag("max-restarts", Takes::Value("N")).also_of_run()],
    }
    /// Fixed pause before each restart, instead of a growing one.
    restart_delay: Millis [Restarts, Nothing, Restart] {
        default: "none after a run that served, else a pause that grows from 100ms to 15s",
        examples: [r#""1s""#, r#""5s""#],
        flags: [flag("restart-delay", Takes::Value("TIME")).also_of_run()],
    }
    /// First pause before a restart; it grows by half each time, up to 15s.
    exp_backoff_restart_delay: Millis [Restarts, Nothing, Restart] {
        default: "as `restart_delay`",
        examples: [r#"200"#, r#"1000"#],
        flags: [flag("exp-backoff-restart-delay", Takes::Value("TIME")).also_of_run()],
    }
    /// Replaces an instance that uses more memory than this, its child processes included. In a
    /// systemd unit with `Delegate=memory`, as `startup` writes it, the kernel kills an instance at
    /// twice as much, or at 256 MB more if that is more.
    max_memory_restart: Bytes [Restarts, Nothing, Restart] {
        aliases: ["max_memory"],
        default: "no limit",
        examples: [r#""200M""#, r#""1G""#],
        flags: [flag("max-memory-restart", Takes::Value("SIZE")).common().also_of_run()],
    }
    /// Replaces an instance whose event loop stands still for this time, at least a second. The
    /// successor starts first; the blocked process then has `drain_timeout` to come back and answer
    /// before it gets the stop signal. 0 switches it off.
    hang_timeout: Millis [Restarts, Cluster, Restart] {
        default: "0",
        examples: [r#""30s""#, r#""2m""#],
        flags: [flag("hang-timeout", Takes::Value("TIME")).also_of_run()],
    }
    /// Checks each instance by itself: asks it for a path over HTTP ({ "http": "/healthz" }), connects
    /// to it ({ "tcp": true }), both in cluster mode alone, or runs a command. One that fails `failures` times in a row is replaced, its successor first; `start` and `reload`
    /// wait until a first check has passed. The page "Health of instances" tells all parts.
    health: HealthCheck [Restarts, Nothing, Restart] {
        default: "none",
        examples: [r#"{ "command": "./check" }"#, r#"{ "command": ["./check", "--fast"], "interval": "2s" }"#],
        flags: [flag("health", Takes::Value("PATH|tcp")).also_of_run()],
    }
    /// Restarts the app at these times: a cron pattern of five fields, or of six with seconds
    /// first. "TZ=Europe/Berlin" in front chooses a time zone. 0 switches it off.
    cron_restart: Schedule [Restarts, Nothing, Restart] {
        aliases: ["cron"],
        default: "never",
        examples: [r#""0 3 * * *""#, r#""*/30 * * * *""#],
        flags: [flag("cron-restart", Takes::Value("PATTERN")).common().short('c').aka(&["cron"]).also_of_run()],
    }
    /// Time zone of `cron_restart`, by its IANA name.
    cron_timezone: String [Restarts, Nothing, Restart] {
        aliases: ["cron_tz", "timezone"],
        default: "the machine's",
        examples: [r#""Europe/Berlin""#, r#""UTC""#],
        with: "cron_restart",
        flags: [flag("cron-timezone", Takes::Value("ZONE")).also_of_run()],
    }
    /// What happens at a time of `cron_restart` while the last run of a job goes on: `skip` (that time
    /// passes), `wait` (the next run follows when the last one has ended, once), or `replace` (the last
    /// one is stopped). Runs of a job never overlap.
    cron_overlap: Overlap [Restarts, Job, Restart] {
        default: "skip",
        examples: [r#""wait""#, r#""replace""#],
        flags: [flag("cron-overlap", Takes::Value("WHAT")).also_of_run()],
    }
    /// Restarts the app when files change: in its working directory (true), or in these paths.
    watch: Watched [Restarts, Nothing, Restart] {
        default: "false",
        examples: [r#"true"#, r#"["src"]"#],
        flags: [flag("watch", Takes::Optional("PATH")).common().also_of_run()],
    }
    /// What is not watched: names, paths, globs, or "regex:" with a regular expression. A text is
    /// split at spaces.
    ignore_watch: Patterns [Restarts, Nothing, Restart] {
        aliases: ["watch_ignore"],
        default: "node_modules, and names that begin with a dot",
        examples: [r#"["logs"]"#, r#"["uploads", "*.tmp"]"#],
        with: "watch",
        flags: [flag("ignore-watch", Takes::List("PATTERN")).also_of_run()],
    }
    /// Quiet time after the last change before the restart.
    watch_delay: WatchDelay [Restarts, Nothing, Restart] {
        default: "200ms",
        examples: [r#"1000"#, r#""2s""#],
        with: "watch",
        flags: [flag("watch-delay", Takes::Value("TIME")).also_of_run()],
    }
    /// Options for pm2's watcher. `ignored` and `followSymlinks` have an effect.
    watch_options: WatchOptions [Restarts, Nothing, Restart] {
        default: "none",
        examples: [r#"{ "followSymlinks": false }"#, r#"{ "ignored": ["logs"] }"#],
        with: "watch",
    }
    /// Starts the app when it is added; otherwise it is added as stopped.
    autostart: bool [Stopping, Nothing, Restart] {
        default: "true",
        examples: [r#"false"#, r#"true"#],
        flags: [flag("no-autostart", Takes::Nothing(false))],
    }
    /// Apps that have to be there first, by their names: those of the same file, or others that are
    /// managed already. `until` says how far: `started` (it is up, as `start` waits for it: healthy, if
    /// that is checked; the default), `healthy` (the same, of an app with `health` alone), or `completed`
    /// (its processes have ended with exit code 0, as of a migration).
    /// Apps start as far side by side as this allows, and stop in reverse order. What depends on an
    /// app that fails is not started.
    depends_on: DependsOn [Stopping, Nothing, Restart] {
        default: "none",
        examples: [r#"["db"]"#, r#"[{ "app": "migrate", "until": "completed" }]"#],
    }
    /// Command line that a shell runs once before the app's first instance starts, and at a `restart` of
    /// the whole app before its processes are stopped: a migration, for example. If it fails, nothing is
    /// started, what runs goes on, and its last lines are shown. (A changed field that needs another
    /// supervisor has the app stopped before.) It has the app's user, folder and variables.
    before_start: String [Stopping, Nothing, Restart] {
        default: "none",
        examples: [r#""npm run migrate""#, r#""python manage.py migrate""#],
        flags: [flag("before-start", Takes::Value("COMMAND")).also_of_run()],
    }
    /// The same before a `reload` by a command. If it fails, the old processes serve on.
    before_reload: String [Stopping, Nothing, Restart] {
        default: "none",
        examples: [r#""npm run migrate""#, r#""python manage.py migrate""#],
        flags: [flag("before-reload", Takes::Value("COMMAND"))],
    }
    /// Longest time that a worker has before the stop signal to finish its requests. It gets no new
    /// connections; those that are idle between two HTTP/1.x requests move to other workers, and at
    /// `stop` they are closed. The signal comes as soon as no request is in progress. At `reload`,
    /// `scale` and what reloads by itself, WebSockets, streams of events and what is no HTTP may last
    /// as long; `stop`, `restart` and signals do not wait for them. The same command or signal again
    /// ends the waiting.
    drain_timeout: Millis [Stopping, Nothing, Restart] {
        default: "30s",
        examples: [r#""5s""#, r#""10m""#],
        flags: [flag("drain-timeout", Takes::Value("TIME")).also_of_run()],
    }
    /// After SIGTERM, maitred serves new clients for this time while `/readyz` (see `metrics`) answers
    /// 503, so that a load balancer sends clients elsewhere before the port closes. Other signals,
    /// commands and a second SIGTERM end the wait.
    drain_delay: Millis [Stopping, Nothing, Restart] {
        default: "0",
        examples: [r#""10s""#, r#""30s""#],
        flags: [flag("drain-delay", Takes::Value("TIME")).also_of_run()],
    }
    /// Time between the stop signal and SIGKILL.
    kill_timeout: Millis [Stopping, Nothing, Restart] {
        default: "1600ms",
        examples: [r#""10s""#, r#""30s""#],
        flags: [flag("kill-timeout", Takes::Value("TIME")).short('k').also_of_run()],
    }
    /// Stop signal: SIGTERM, TERM or 15.
    kill_signal: KillSignal [Stopping, Nothing, Restart] {
        default: "$PM2_KILL_SIGNAL of the command that starts the app, or else SIGINT",
        examples: [r#""SIGTERM""#, r#""SIGQUIT""#],
        flags: [flag("kill-signal", Takes::Value("SIGNAL")).also_of_run()],
    }
    /// Stops all processes of an instance, when it is stopped and when it crashes. Otherwise its
    /// child processes live on until the app ends.
    treekill: bool [Stopping, Nothing, Restart] {
        default: "true",
        examples: [r#"false"#, r#"true"#],
        flags: [flag("no-treekill", Takes::Nothing(false)).also_of_run()],
    }
    /// Stops an instance with `process.send("shutdown")` instead of a signal.
    shutdown_with_message: bool [Stopping, Nothing, Restart] {
        default: "true where the command that starts the app has $PM2_KILL_USE_MESSAGE, else false",
        examples: [r#"true"#, r#"false"#],
        flags: [flag("shutdown-with-message", Takes::Nothing(true))],
    }
    /// Waits for `process.send("ready")` before an instance counts as up.
    wait_ready: bool [Stopping, Nothing, Restart] {
        default: "false",
        examples: [r#"true"#, r#"false"#],
        flags: [flag("wait-ready", Takes::Nothing(true))],
    }
    /// Longest time until an instance is up; a reload that takes longer fails.
    listen_timeout: Millis [Stopping, Nothing, Restart] {
        default: "30s",
        examples: [r#""10s""#, r#""2m""#],
        flags: [flag("listen-timeout", Takes::Value("TIME"))],
    }
    /// Starts the app even if it runs already.
    force: bool [Stopping, Nothing, Command] {
        default: "false",
        examples: [r#"true"#, r#"false"#],
        flags: [flag("force", Takes::Nothing(true)).common().short('f')],
    }
    /// File for standard output; "/dev/null" for none. Relative to `cwd`.
    out_file: LogTarget [Logs, Nothing, Restart] {
        aliases: ["out", "output", "out_log"],
        default: "in the home folder",
        examples: [r#""logs/out.log""#, r#""/dev/null""#],
        flags: [flag("output", Takes::Value("FILE")).common().short('o')],
    }
    /// File for standard error; "/dev/null" for none. Relative to `cwd`.
    error_file: LogTarget [Logs, Nothing, Restart] {
        aliases: ["error", "err", "err_file", "err_log"],
        default: "in the home folder",
        examples: [r#""logs/error.log""#, r#""/dev/null""#],
        flags: [flag("error", Takes::Value("FILE")).common().short('e')],
    }
    /// File for both together; true for one in the home folder.
    log_file: LogTarget [Logs, Nothing, Restart] {
        aliases: ["log"],
        default: "none",
        examples: [r#""logs/all.log""#, r#"true"#],
        flags: [flag("log", Takes::Optional("FILE")).short('l')],
    }
    /// One log file for all instances instead of one each.
    merge_logs: bool [Logs, Nothing, Restart] {
        aliases: ["combine_logs"],
        default: "true for a single instance in fork mode, else false",
        examples: [r#"true"#, r#"false"#],
        flags: [flag("merge-logs", Takes::Nothing(true))],
    }
    /// Keeps no logs.
    disable_logs: bool [Logs, Nothing, Restart] {
        default: "false",
        examples: [r#"true"#, r#"false"#],
        flags: [flag("disable-logs", Takes::Nothing(true))],
    }
    /// Writes the time before each line, as YYYY-MM-DDTHH:mm:ss.
    time: bool [Logs, Nothing, Restart] {
        default: "false",
        examples: [r#"true"#, r#"false"#],
        flags: [flag("time", Takes::Nothing(true)).common()],
    }
    /// Writes the time before each line, in this day.js format.
    log_date_format: String [Logs, Nothing, Restart] {
        default: "none",
        examples: [r#""YYYY-MM-DD HH:mm:ss.SSS""#, r#""HH:mm:ss""#],
        flags: [flag("log-date-format", Takes::Value("FORMAT"))],
    }
    /// Format of log lines: raw (as they are), or json (one object per line).
    log_type: LogFormat [Logs, Nothing, Restart] {
        aliases: ["log_format"],
        default: "raw",
        examples: [r#""json""#, r#""raw""#],
        flags: [flag("log-type", Takes::Value("TYPE"))],
    }
    /// Rotates log files.
    log_rotate: bool [Logs, Nothing, Restart] {
        default: "true",
        examples: [r#"false"#, r#"true"#],
        flags: [flag("no-log-rotate", Takes::Nothing(false))],
    }
    /// Size at which a log file is rotated.
    log_max_size: Bytes [Logs, Nothing, Restart] {
        aliases: ["log_max_bytes"],
        default: "10M",
        examples: [r#""50M""#, r#""1G""#],
        flags: [flag("log-max-size", Takes::Value("SIZE"))],
    }
    /// Number of old log files to keep.
    log_retain: u32 [Logs, Nothing, Restart] {
        aliases: ["log_max_files"],
        default: "10",
        examples: [r#"30"#, r#"3"#],
        flags: [flag("log-retain", Takes::Value("N"))],
    }
    /// Compresses old log files (gzip).
    log_compress: bool [Logs, Nothing, Restart] {
        default: "false",
        examples: [r#"true"#, r#"false"#],
        flags: [flag("log-compress", Takes::Nothing(true))],
    }
    /// Rotates log files also at this interval: 1d for each day.
    log_rotate_interval: Millis [Logs, Nothing, Restart] {
        default: "by size alone",
        examples: [r#""1d""#, r#""1h""#],
        flags: [flag("log-rotate-interval", Takes::Value("TIME"))],
    }
    /// Address at which the app's metrics are served for Prometheus (`/metrics`), and whether it
    /// runs and is ready (`/livez`, `/readyz`). A port alone is one of 127.0.0.1.
    metrics: MetricsAddress [Metrics, Nothing, Restart] {
        default: "none",
        examples: [r#""127.0.0.1:9616""#, r#"9617"#],
        flags: [flag("metrics", Takes::Value("ADDRESS")).also_of_run()],
    }
    /// File for the PID of each instance, readable for all (mode 0644) unless the umask says
    /// otherwise. With `uid`, maitred writes it with that user's rights where those suffice.
    pid_file: LogTarget [Rights, Nothing, Restart] {
        aliases: ["pid"],
        default: "in the home folder",
        examples: [r#""api.pid""#, r#""/dev/null""#],
        flags: [flag("pid", Takes::Value("FILE")).short('p')],
    }
    /// User that the processes run as. Only root can choose another one.
    uid: Account [Rights, Nothing, Recreate] {
        aliases: ["user"],
        default: "the user who starts the app",
        examples: [r#""nobody""#, r#""daemon""#],
        flags: [flag("uid", Takes::Value("USER")).common().short('u').aka(&["user"]).also_of_run()],
    }
    /// Group that the processes run as.
    gid: Account [Rights, Nothing, Recreate] {
        aliases: ["group"],
        default: "the user's",
        examples: [r#""nogroup""#, r#""daemon""#],
        flags: [flag("gid", Takes::Value("GROUP")).also_of_run()],
    }
    /// TCP ports below 1024 that an app of another user (`uid`, `gid`) may listen on although only
    /// root may. `port` is one of them.
    privileged_ports: Ports [Rights, Nothing, Recreate] {
        aliases: ["privileged_port"],
        default: "none",
        examples: [r#"[80, 443]"#, r#"[80]"#],
        flags: [flag("privileged-port", Takes::List("PORT")).also_of_run()],
    }
}
