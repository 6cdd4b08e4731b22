// Types of config files. Made from the table of fields; see docs/config.md of maitred.

type SizeUnit = "K" | "M" | "G" | "T" | "k" | "m" | "g" | "t";

/** Bytes, or with a unit: `"500M"` (powers of 1024). */
export type Size = `${number}` | `${number}${SizeUnit | `${SizeUnit}${"B" | "b" | "iB" | "ib"}` | "B" | "b"}`;

/** Milliseconds, or with a unit: `"1.5s"`. */
export type Time = `${number}` | `${number}${"ms" | "s" | "m" | "min" | "h" | "d"}`;

/** A signal's name. */
export type Signal =
  | "HUP" | "INT" | "QUIT" | "TRAP" | "ABRT" | "BUS" | "FPE" | "KILL" | "USR1" | "SEGV" | "USR2"
  | "PIPE" | "ALRM" | "TERM" | "CONT" | "STOP" | "TSTP" | "URG" | "WINCH" | "IO";

/** The value of a variable; an object or a list becomes JSON. */
export type Variable = string | number | boolean | object | null | undefined;

/** What a config file holds: an object with `apps`, a list of apps, or one app. */
export type Config = { apps: App[] | App; deploy?: unknown; $schema?: string } | App[] | App;

/** What a config file may export. A function is called with the name that `--env` chose. */
export type Exported = Config | Promise<Config> | ((env?: string) => Config | Promise<Config>);

/** Returns the config as it is; editors and `tsc` check its fields. */
export declare function defineConfig(config: Exported): Exported;

/** One app. */
export interface App extends OtherNames {
  /** What to run: a script, whose interpreter follows from its name, or a program. A shell runs a command line with spaces. Default: required. Example: `"server.js"` */
  script?: string | null;
  /** App name. Default: the script's name without folder and extension. Example: `"api"` */
  name?: string | null;
  /** Group of apps. A command that names the group acts on all of its apps. Default: default. Example: `"shop"` */
  namespace?: string | null;
  /** Arguments for the script. Default: none. Example: `["--verbose"]` */
  args?: string | (string | number | boolean)[] | null;
  /** Working directory. In a file, relative to the file's folder. Default: the folder of the config file, or else the current one. Example: `"api"` */
  cwd?: string | null;
  /** Program that runs the script; "none" runs the script itself, "node@20.1.0" a version that nvm has installed. Default: by the script's extension and, for TypeScript, the project's files. Example: `"bun"` */
  interpreter?: string | null;
  /** Arguments for the interpreter, before the script; a text is split at spaces. Default: none. Example: `["--max-old-space-size=512"]` */
  interpreter_args?: string | (string | number | boolean)[] | null;
  /** Source lines in Node.js stack traces (--enable-source-maps). Default: true where a file beside the script has its name and .map. Example: `true` */
  source_map_support?: true | false | "true" | "false" | null;
  /** Adds the name of the chosen set of variables to the app's name: api-production. Default: false. Example: `true` */
  append_env_to_name?: true | false | "true" | "false" | null;
  /** Number of instances: a number, "max" or 0 for one per processor, -K for all processors but K. Default: 1. Example: `4` */
  instances?: number | "max" | `${number}` | null;
  /** Listening sockets: shared by all instances (cluster), or opened by each instance for itself (fork). Default: cluster where `instances` or `per: request` is written, else fork. Example: `"cluster"` */
  exec_mode?: "cluster" | "fork" | "cluster_mode" | "fork_mode" | null;
  /** Unit of load balancing: connection (any protocol) or request (HTTP). Default: connection. Example: `"request"` */
  per?: "connection" | "request" | null;
  /** Policy that chooses the instance for the next connection or request. `sticky` follows a cookie, and needs `per: request`. Default: next_available. Example: `"round_robin"` */
  balance?: "next_available" | "round_robin" | "least_conn" | "ip_hash" | "sticky" | null;
  /** Open connections per instance; further ones wait for an instance that has room. With `per: request`, use `max_concurrency`. Default: no limit. Example: `100` */
  max_connections?: number | `${number}` | null;
  /** Connections that may wait for an instance; more wait in the kernel's backlog. Default: 4096. Example: `1000` */
  queue?: number | `${number}` | null;
  /** Longest wait of a connection for an instance; then maitred closes it. Default: 30s. Example: `"5s"` */
  queue_timeout?: number | Time | null;
  /** A kept-alive HTTP/1.1 connection that the app closes between two requests stays open until it has been idle for so long; its next request goes to a free instance. So clients that keep connections, balancers above all, do not meet the moment at which the app closes one. Choose more than the client's own idle time. With `per: request`, use `idle_timeout`. Default: off: the app closes its connections. Example: `"75s"` */
  keep_alive_timeout?: number | Time | null;
  /** TCP and UDP ports that each instance opens for itself instead of sharing them (a debugger's, for example). Default: none. Example: `[9229]` */
  private_ports?: number | string | (number | string)[] | null;
  /** Unix sockets that each instance opens for itself instead of sharing them: file names or paths, `*` for any characters, `@name` in the abstract namespace. Some need no entry: gunicorn's `gunicorn.ctl`, names with the process's own number, and those in a temporary folder that the app has made. Default: none. Example: `["metrics.sock"]` */
  private_paths?: string | (string)[] | null;
  /** Requests in progress per instance; further ones wait for an instance that has room. Default: no limit. Example: `10` */
  max_concurrency?: number | `${number}` | null;
  /** Requests in progress per client, WebSockets included; one more gets 429. A client is an address (with IPv6 a /64 network), as `trust_proxy` makes it known. Default: no limit. Example: `20` */
  client_limit?: number | `${number}` | null;
  /** Requests that maitred sends once more, to another instance, when an instance fails. `idempotent`: requests that change nothing and have no body. Default: none. Example: `"idempotent"` */
  retry?: "none" | "idempotent" | null;
  /** Proxies in front of maitred whose X-Forwarded and Forwarded fields are believed: addresses, networks such as 10.0.0.0/8, and `unix` for all clients of the app's Unix sockets. Default: none. Example: `["10.0.0.0/8"]` */
  trust_proxy?: string | (string)[] | null;
  /** Every connection begins with a PROXY protocol header, version 1 or 2. Default: false. Example: `true` */
  proxy_protocol?: true | false | "true" | "false" | null;
  /** Response field that names the instance which answered. Default: none. Example: `"X-Instance"` */
  instance_header?: string | null;
  /** File with one line per finished request; "-" for standard output where the app runs in the foreground. Relative to `cwd`. It is rotated and reopened as the app's logs are. Default: none. Example: `"access.log"` */
  access_log?: string | null;
  /** Format of the access log: `combined`, as in Apache and nginx, followed by the request's duration in seconds, the instance and the request's number; or `json`. Default: combined. Example: `"json"` */
  access_log_format?: "combined" | "json" | null;
  /** Largest request body. Default: no limit. Example: `"10M"` */
  max_body?: number | Size | null;
  /** Largest request head. Node and Bun take 16 kB unless `--max-http-header-size` says otherwise, and maitred's own fields need some of it. A response head may have as much, or 256 kB. Default: 32k. Example: `"16k"` */
  max_head?: number | Size | null;
  /** Header fields per request. Node shows its app the first 1000 (`maxHeadersCount`). A response may have 10,000. Default: 1000. Example: `100` */
  max_fields?: number | `${number}` | null;
  /** Longest wait for the beginning of a response; 0 for no limit. Default: 60s. Example: `"30s"` */
  response_timeout?: number | Time | null;
  /** Longest time in which a request head must arrive. Default: 30s. Example: `"10s"` */
  header_timeout?: number | Time | null;
  /** Longest idle time of a client connection between requests. Default: 75s. Example: `"10s"` */
  idle_timeout?: number | Time | null;
  /** A client that has closed its sending side still gets the response to its request. By default maitred takes it for gone and cancels the request: TCP does not tell the two apart, and most clients that close have gone. Default: false. Example: `true` */
  half_closed_clients?: true | false | "true" | "false" | null;
  /** File with a certificate and its chain, in PEM; clients then speak TLS. For several names, list several files, with as many keys. Changed files are read again. Default: none. Example: `"cert.pem"` */
  tls_cert?: string | (string)[] | null;
  /** File with the key for `tls_cert`, in PEM. Default: none. Example: `"key.pem"` */
  tls_key?: string | (string)[] | null;
  /** Sets the variable PORT. Default: not set. Example: `3000` */
  port?: number | `${number}` | null;
  /** Variables for the app, over the inherited ones. Default: none. Example: `{ "NODE_ENV": "production" }` */
  env?: { [name: string]: Variable } | `${string}=${string}` | (`${string}=${string}`)[] | null;
  /** Files with lines of NAME=value, relative to `cwd`, read as the dotenv package does: `$` is not expanded. `env` goes over them, and a later file over an earlier one. Default: none. Example: `".env"` */
  env_file?: string | (string)[] | null;
  /** Variables that the app does not inherit: all (true), or those whose names contain one of these texts. Default: false. Example: `["AWS_"]` */
  filter_env?: boolean | string | (string)[] | null;
  /** Variable that counts: each instance gets its value (or 0) plus the instance's number. Default: none. Example: `"PORT"` */
  increment_var?: string | null;
  /** Variable that holds the instance's number. Default: NODE_APP_INSTANCE. Example: `"INSTANCE_ID"` */
  instance_var?: string | null;
  /** Restarts an instance that has ended. Default: true. Example: `false` */
  autorestart?: true | false | "true" | "false" | null;
  /** Exit codes after which an instance is not restarted. Default: none. Example: `[0]` */
  stop_exit_codes?: number | string | (number | string)[] | null;
  /** A run that ends before it has listened for this long counts as unstable; of an app that never listens, a shorter run. Default: 1s. Example: `"10s"` */
  min_uptime?: number | Time | null;
  /** Unstable runs in a row before maitred gives up. Time in service pays off earlier ones: half of `min_uptime` pays for one. Default: 16. Example: `5` */
  max_restarts?: number | `${number}` | null;
  /** Fixed pause before each restart, instead of a growing one. Default: none after a run that served, else a pause that grows from 100ms to 15s. Example: `"1s"` */
  restart_delay?: number | Time | null;
  /** First pause before a restart; it grows by half each time, up to 15s. Default: as `restart_delay`. Example: `200` */
  exp_backoff_restart_delay?: number | Time | null;
  /** Replaces an instance that uses more memory than this, its child processes included. In a systemd unit with `Delegate=memory`, as `startup` writes it, the kernel kills an instance at twice as much, or at 256 MB more if that is more. Default: no limit. Example: `"200M"` */
  max_memory_restart?: number | Size | null;
  /** Replaces an instance whose event loop stands still for this time, at least a second. The successor starts first; the blocked process then has `drain_timeout` to come back and answer before it gets the stop signal. 0 switches it off. Default: 0. Example: `"30s"` */
  hang_timeout?: number | Time | null;
  /** Checks each instance by itself: asks it for a path over HTTP ({ "http": "/healthz" }), connects to it ({ "tcp": true }), both in cluster mode alone, or runs a command. One that fails `failures` times in a row is replaced, its successor first; `start` and `reload` wait until a first check has passed. The page "Health of instances" tells all parts. Default: none. Example: `{ "command": "./check" }` */
  health?: false | "false" | "tcp" | string | { command?: string | (string | number | boolean)[]; failures?: number; grace?: number | Time; http?: string; interval?: number | Time; port?: number; successes?: number; tcp?: true; timeout?: number | Time; } | null;
  /** Restarts the app at these times: a cron pattern of five fields, or of six with seconds first. "TZ=Europe/Berlin" in front chooses a time zone. 0 switches it off. Default: never. Example: `"0 3 * * *"` */
  cron_restart?: string | 0 | false | null;
  /** Time zone of `cron_restart`, by its IANA name. Default: the machine's. Example: `"Europe/Berlin"` */
  cron_timezone?: string | null;
  /** What happens at a time of `cron_restart` while the last run of a job goes on: `skip` (that time passes), `wait` (the next run follows when the last one has ended, once), or `replace` (the last one is stopped). Runs of a job never overlap. Default: skip. Example: `"wait"` */
  cron_overlap?: "skip" | "wait" | "replace" | null;
  /** Restarts the app when files change: in its working directory (true), or in these paths. Default: false. Example: `true` */
  watch?: boolean | string | (string)[] | null;
  /** What is not watched: names, paths, globs, or "regex:" with a regular expression. A text is split at spaces. Default: node_modules, and names that begin with a dot. Example: `["logs"]` */
  ignore_watch?: string | (string)[] | null;
  /** Quiet time after the last change before the restart. Default: 200ms. Example: `1000` */
  watch_delay?: number | Time | null;
  /** Options for pm2's watcher. `ignored` and `followSymlinks` have an effect. Default: none. Example: `{ "followSymlinks": false }` */
  watch_options?: { followSymlinks?: boolean; ignored?: string | (string)[]; } | null;
  /** Starts the app when it is added; otherwise it is added as stopped. Default: true. Example: `false` */
  autostart?: true | false | "true" | "false" | null;
  /** Apps that have to be there first, by their names: those of the same file, or others that are managed already. `until` says how far: `started` (it is up, as `start` waits for it: healthy, if that is checked; the default), `healthy` (the same, of an app with `health` alone), or `completed` (its processes have ended with exit code 0, as of a migration). Apps start as far side by side as this allows, and stop in reverse order. What depends on an app that fails is not started. Default: none. Example: `["db"]` */
  depends_on?: string | { app?: string; until?: "started" | "healthy" | "completed"; } | (string | { app?: string; until?: "started" | "healthy" | "completed"; })[] | null;
  /** Command line that a shell runs once before the app's first instance starts, and at a `restart` of the whole app before its processes are stopped: a migration, for example. If it fails, nothing is started, what runs goes on, and its last lines are shown. (A changed field that needs another supervisor has the app stopped before.) It has the app's user, folder and variables. Default: none. Example: `"npm run migrate"` */
  before_start?: string | null;
  /** The same before a `reload` by a command. If it fails, the old processes serve on. Default: none. Example: `"npm run migrate"` */
  before_reload?: string | null;
  /** Longest time that a worker has before the stop signal to finish its requests. It gets no new connections; those that are idle between two HTTP/1.x requests move to other workers, and at `stop` they are closed. The signal comes as soon as no request is in progress. At `reload`, `scale` and what reloads by itself, WebSockets, streams of events and what is no HTTP may last as long; `stop`, `restart` and signals do not wait for them. The same command or signal again ends the waiting. Default: 30s. Example: `"5s"` */
  drain_timeout?: number | Time | null;
  /** After SIGTERM, maitred serves new clients for this time while `/readyz` (see `metrics`) answers 503, so that a load balancer sends clients elsewhere before the port closes. Other signals, commands and a second SIGTERM end the wait. Default: 0. Example: `"10s"` */
  drain_delay?: number | Time | null;
  /** Time between the stop signal and SIGKILL. Default: 1600ms. Example: `"10s"` */
  kill_timeout?: number | Time | null;
  /** Stop signal: SIGTERM, TERM or 15. Default: $PM2_KILL_SIGNAL of the command that starts the app, or else SIGINT. Example: `"SIGTERM"` */
  kill_signal?: number | Signal | `SIG${Signal}` | `${number}` | null;
  /** Stops all processes of an instance, when it is stopped and when it crashes. Otherwise its child processes live on until the app ends. Default: true. Example: `false` */
  treekill?: true | false | "true" | "false" | null;
  /** Stops an instance with `process.send("shutdown")` instead of a signal. Default: true where the command that starts the app has $PM2_KILL_USE_MESSAGE, else false. Example: `true` */
  shutdown_with_message?: true | false | "true" | "false" | null;
  /** Waits for `process.send("ready")` before an instance counts as up. Default: false. Example: `true` */
  wait_ready?: true | false | "true" | "false" | null;
  /** Longest time until an instance is up; a reload that takes longer fails. Default: 30s. Example: `"10s"` */
  listen_timeout?: number | Time | null;
  /** Starts the app even if it runs already. Default: false. Example: `true` */
  force?: true | false | "true" | "false" | null;
  /** File for standard output; "/dev/null" for none. Relative to `cwd`. Default: in the home folder. Example: `"logs/out.log"` */
  out_file?: string | boolean | null;
  /** File for standard error; "/dev/null" for none. Relative to `cwd`. Default: in the home folder. Example: `"logs/error.log"` */
  error_file?: string | boolean | null;
  /** File for both together; true for one in the home folder. Default: none. Example: `"logs/all.log"` */
  log_file?: string | boolean | null;
  /** One log file for all instances instead of one each. Default: true for a single instance in fork mode, else false. Example: `true` */
  merge_logs?: true | false | "true" | "false" | null;
  /** Keeps no logs. Default: false. Example: `true` */
  disable_logs?: true | false | "true" | "false" | null;
  /** Writes the time before each line, as YYYY-MM-DDTHH:mm:ss. Default: false. Example: `true` */
  time?: true | false | "true" | "false" | null;
  /** Writes the time before each line, in this day.js format. Default: none. Example: `"YYYY-MM-DD HH:mm:ss.SSS"` */
  log_date_format?: string | null;
  /** Format of log lines: raw (as they are), or json (one object per line). Default: raw. Example: `"json"` */
  log_type?: "raw" | "json" | null;
  /** Rotates log files. Default: true. Example: `false` */
  log_rotate?: true | false | "true" | "false" | null;
  /** Size at which a log file is rotated. Default: 10M. Example: `"50M"` */
  log_max_size?: number | Size | null;
  /** Number of old log files to keep. Default: 10. Example: `30` */
  log_retain?: number | `${number}` | null;
  /** Compresses old log files (gzip). Default: false. Example: `true` */
  log_compress?: true | false | "true" | "false" | null;
  /** Rotates log files also at this interval: 1d for each day. Default: by size alone. Example: `"1d"` */
  log_rotate_interval?: number | Time | null;
  /** Address at which the app's metrics are served for Prometheus (`/metrics`), and whether it runs and is ready (`/livez`, `/readyz`). A port alone is one of 127.0.0.1. Default: none. Example: `"127.0.0.1:9616"` */
  metrics?: number | string | null;
  /** File for the PID of each instance, readable for all (mode 0644) unless the umask says otherwise. With `uid`, maitred writes it with that user's rights where those suffice. Default: in the home folder. Example: `"api.pid"` */
  pid_file?: string | boolean | null;
  /** User that the processes run as. Only root can choose another one. Default: the user who starts the app. Example: `"nobody"` */
  uid?: string | number | null;
  /** Group that the processes run as. Default: the user's. Example: `"nogroup"` */
  gid?: string | number | null;
  /** TCP ports below 1024 that an app of another user (`uid`, `gid`) may listen on although only root may. `port` is one of them. Default: none. Example: `[80, 443]` */
  privileged_ports?: number | string | (number | string)[] | null;
  /** Variables that `--env NAME` adds; of `env_file` and `env_files`, files. */
  [name: `env_${string}`]: { [name: string]: Variable } | `${string}=${string}` | (`${string}=${string}`)[] | string | (string)[] | null | undefined;
}

/** The same fields by their other names, and what pm2 has and maitred has not. */
export interface OtherNames {
  "cmd"?: App["script"];
  "command"?: App["script"];
  "exec"?: App["script"];
  "exec-interpreter"?: App["interpreter"];
  "execInterpreter"?: App["interpreter"];
  "exec_interpreter"?: App["interpreter"];
  "interpreter-args"?: App["interpreter_args"];
  "interpreterArgs"?: App["interpreter_args"];
  "node-args"?: App["interpreter_args"];
  "nodeArgs"?: App["interpreter_args"];
  "node_args"?: App["interpreter_args"];
  "source-map-support"?: App["source_map_support"];
  "sourceMapSupport"?: App["source_map_support"];
  "append-env-to-name"?: App["append_env_to_name"];
  "appendEnvToName"?: App["append_env_to_name"];
  "exec-mode"?: App["exec_mode"];
  "execMode"?: App["exec_mode"];
  "max-connections"?: App["max_connections"];
  "maxConnections"?: App["max_connections"];
  "queue-timeout"?: App["queue_timeout"];
  "queueTimeout"?: App["queue_timeout"];
  "keep-alive-timeout"?: App["keep_alive_timeout"];
  "keepAliveTimeout"?: App["keep_alive_timeout"];
  "private-port"?: App["private_ports"];
  "private-ports"?: App["private_ports"];
  "privatePort"?: App["private_ports"];
  "privatePorts"?: App["private_ports"];
  "private_port"?: App["private_ports"];
  "private-path"?: App["private_paths"];
  "private-paths"?: App["private_paths"];
  "privatePath"?: App["private_paths"];
  "privatePaths"?: App["private_paths"];
  "private_path"?: App["private_paths"];
  "max-concurrency"?: App["max_concurrency"];
  "maxConcurrency"?: App["max_concurrency"];
  "client-limit"?: App["client_limit"];
  "clientLimit"?: App["client_limit"];
  "trust-proxy"?: App["trust_proxy"];
  "trustProxy"?: App["trust_proxy"];
  "proxy-protocol"?: App["proxy_protocol"];
  "proxyProtocol"?: App["proxy_protocol"];
  "instance-header"?: App["instance_header"];
  "instanceHeader"?: App["instance_header"];
  "access-log"?: App["access_log"];
  "accessLog"?: App["access_log"];
  "access-log-format"?: App["access_log_format"];
  "accessLogFormat"?: App["access_log_format"];
  "max-body"?: App["max_body"];
  "maxBody"?: App["max_body"];
  "max-head"?: App["max_head"];
  "maxHead"?: App["max_head"];
  "max-fields"?: App["max_fields"];
  "maxFields"?: App["max_fields"];
  "response-timeout"?: App["response_timeout"];
  "responseTimeout"?: App["response_timeout"];
  "header-timeout"?: App["header_timeout"];
  "headerTimeout"?: App["header_timeout"];
  "idle-timeout"?: App["idle_timeout"];
  "idleTimeout"?: App["idle_timeout"];
  "half-closed-clients"?: App["half_closed_clients"];
  "halfClosedClients"?: App["half_closed_clients"];
  "tls-cert"?: App["tls_cert"];
  "tlsCert"?: App["tls_cert"];
  "tls-key"?: App["tls_key"];
  "tlsKey"?: App["tls_key"];
  "env-file"?: App["env_file"];
  "env-files"?: App["env_file"];
  "envFile"?: App["env_file"];
  "envFiles"?: App["env_file"];
  "env_files"?: App["env_file"];
  "filter-env"?: App["filter_env"];
  "filterEnv"?: App["filter_env"];
  "increment-var"?: App["increment_var"];
  "incrementVar"?: App["increment_var"];
  "instance-var"?: App["instance_var"];
  "instanceVar"?: App["instance_var"];
  "stop-exit-code"?: App["stop_exit_codes"];
  "stop-exit-codes"?: App["stop_exit_codes"];
  "stopExitCode"?: App["stop_exit_codes"];
  "stopExitCodes"?: App["stop_exit_codes"];
  "stop_exit_code"?: App["stop_exit_codes"];
  "min-uptime"?: App["min_uptime"];
  "minUptime"?: App["min_uptime"];
  "max-restarts"?: App["max_restarts"];
  "maxRestarts"?: App["max_restarts"];
  "restart-delay"?: App["restart_delay"];
  "restartDelay"?: App["restart_delay"];
  "exp-backoff-restart-delay"?: App["exp_backoff_restart_delay"];
  "expBackoffRestartDelay"?: App["exp_backoff_restart_delay"];
  "max-memory"?: App["max_memory_restart"];
  "max-memory-restart"?: App["max_memory_restart"];
  "maxMemory"?: App["max_memory_restart"];
  "maxMemoryRestart"?: App["max_memory_restart"];
  "max_memory"?: App["max_memory_restart"];
  "hang-timeout"?: App["hang_timeout"];
  "hangTimeout"?: App["hang_timeout"];
  "cron"?: App["cron_restart"];
  "cron-restart"?: App["cron_restart"];
  "cronRestart"?: App["cron_restart"];
  "cron-timezone"?: App["cron_timezone"];
  "cron-tz"?: App["cron_timezone"];
  "cronTimezone"?: App["cron_timezone"];
  "cronTz"?: App["cron_timezone"];
  "cron_tz"?: App["cron_timezone"];
  "timezone"?: App["cron_timezone"];
  "cron-overlap"?: App["cron_overlap"];
  "cronOverlap"?: App["cron_overlap"];
  "ignore-watch"?: App["ignore_watch"];
  "ignoreWatch"?: App["ignore_watch"];
  "watch-ignore"?: App["ignore_watch"];
  "watchIgnore"?: App["ignore_watch"];
  "watch_ignore"?: App["ignore_watch"];
  "watch-delay"?: App["watch_delay"];
  "watchDelay"?: App["watch_delay"];
  "watch-options"?: App["watch_options"];
  "watchOptions"?: App["watch_options"];
  "depends-on"?: App["depends_on"];
  "dependsOn"?: App["depends_on"];
  "before-start"?: App["before_start"];
  "beforeStart"?: App["before_start"];
  "before-reload"?: App["before_reload"];
  "beforeReload"?: App["before_reload"];
  "drain-timeout"?: App["drain_timeout"];
  "drainTimeout"?: App["drain_timeout"];
  "drain-delay"?: App["drain_delay"];
  "drainDelay"?: App["drain_delay"];
  "kill-timeout"?: App["kill_timeout"];
  "killTimeout"?: App["kill_timeout"];
  "kill-signal"?: App["kill_signal"];
  "killSignal"?: App["kill_signal"];
  "shutdown-with-message"?: App["shutdown_with_message"];
  "shutdownWithMessage"?: App["shutdown_with_message"];
  "wait-ready"?: App["wait_ready"];
  "waitReady"?: App["wait_ready"];
  "listen-timeout"?: App["listen_timeout"];
  "listenTimeout"?: App["listen_timeout"];
  "out"?: App["out_file"];
  "out-file"?: App["out_file"];
  "out-log"?: App["out_file"];
  "outFile"?: App["out_file"];
  "outLog"?: App["out_file"];
  "out_log"?: App["out_file"];
  "output"?: App["out_file"];
  "err"?: App["error_file"];
  "err-file"?: App["error_file"];
  "err-log"?: App["error_file"];
  "errFile"?: App["error_file"];
  "errLog"?: App["error_file"];
  "err_file"?: App["error_file"];
  "err_log"?: App["error_file"];
  "error"?: App["error_file"];
  "error-file"?: App["error_file"];
  "errorFile"?: App["error_file"];
  "log"?: App["log_file"];
  "log-file"?: App["log_file"];
  "logFile"?: App["log_file"];
  "combine-logs"?: App["merge_logs"];
  "combineLogs"?: App["merge_logs"];
  "combine_logs"?: App["merge_logs"];
  "merge-logs"?: App["merge_logs"];
  "mergeLogs"?: App["merge_logs"];
  "disable-logs"?: App["disable_logs"];
  "disableLogs"?: App["disable_logs"];
  "log-date-format"?: App["log_date_format"];
  "logDateFormat"?: App["log_date_format"];
  "log-format"?: App["log_type"];
  "log-type"?: App["log_type"];
  "logFormat"?: App["log_type"];
  "logType"?: App["log_type"];
  "log_format"?: App["log_type"];
  "log-rotate"?: App["log_rotate"];
  "logRotate"?: App["log_rotate"];
  "log-max-bytes"?: App["log_max_size"];
  "log-max-size"?: App["log_max_size"];
  "logMaxBytes"?: App["log_max_size"];
  "logMaxSize"?: App["log_max_size"];
  "log_max_bytes"?: App["log_max_size"];
  "log-max-files"?: App["log_retain"];
  "log-retain"?: App["log_retain"];
  "logMaxFiles"?: App["log_retain"];
  "logRetain"?: App["log_retain"];
  "log_max_files"?: App["log_retain"];
  "log-compress"?: App["log_compress"];
  "logCompress"?: App["log_compress"];
  "log-rotate-interval"?: App["log_rotate_interval"];
  "logRotateInterval"?: App["log_rotate_interval"];
  "pid"?: App["pid_file"];
  "pid-file"?: App["pid_file"];
  "pidFile"?: App["pid_file"];
  "user"?: App["uid"];
  "group"?: App["gid"];
  "privileged-port"?: App["privileged_ports"];
  "privileged-ports"?: App["privileged_ports"];
  "privilegedPort"?: App["privileged_ports"];
  "privilegedPorts"?: App["privileged_ports"];
  "privileged_port"?: App["privileged_ports"];
  /** @deprecated No effect: versions are not looked up in repositories. */
  "vizion"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "pmx"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "automation"?: unknown;
  /** @deprecated No effect: there is no tracing here. */
  "trace"?: unknown;
  /** @deprecated No effect: there is no tracing here. */
  "disable-trace"?: unknown;
  /** @deprecated No effect: there is no tracing here. */
  "disableTrace"?: unknown;
  /** @deprecated No effect: there is no tracing here. */
  "disable_trace"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "deep-monitoring"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "deepMonitoring"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "deep_monitoring"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "event-loop-inspector"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "eventLoopInspector"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "event_loop_inspector"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "v8"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "io"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "post-update"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "postUpdate"?: unknown;
  /** @deprecated No effect: there is no Keymetrics here. */
  "post_update"?: unknown;
  /** @deprecated No effect: there are no modules here. */
  "install-url"?: unknown;
  /** @deprecated No effect: there are no modules here. */
  "installUrl"?: unknown;
  /** @deprecated No effect: there are no modules here. */
  "install_url"?: unknown;
  /** @deprecated No effect: it follows from the process. */
  "username"?: unknown;
  /** @deprecated No effect: there is no Windows here. */
  "windows-hide"?: unknown;
  /** @deprecated No effect: there is no Windows here. */
  "windowsHide"?: unknown;
  /** @deprecated No effect: there is no Windows here. */
  "windows_hide"?: unknown;
  /** @deprecated No effect: the end of a process is not polled for. */
  "kill-retry-time"?: unknown;
  /** @deprecated No effect: the end of a process is not polled for. */
  "killRetryTime"?: unknown;
  /** @deprecated No effect: the end of a process is not polled for. */
  "kill_retry_time"?: unknown;
  /** @deprecated No effect: pm2 does not use it either. */
  "name-prefix"?: unknown;
  /** @deprecated No effect: pm2 does not use it either. */
  "namePrefix"?: unknown;
  /** @deprecated No effect: pm2 does not use it either. */
  "name_prefix"?: unknown;
  /** @deprecated No effect: it is a flag of pm2's alone. */
  "write"?: unknown;
  /** @deprecated No effect: the instances of a cluster share their port in any case. */
  "reuse-port"?: unknown;
  /** @deprecated No effect: the instances of a cluster share their port in any case. */
  "reusePort"?: unknown;
  /** @deprecated No effect: the instances of a cluster share their port in any case. */
  "reuse_port"?: unknown;
  /** @deprecated No effect: exec_mode says it. */
  "cluster-mode"?: unknown;
  /** @deprecated No effect: exec_mode says it. */
  "clusterMode"?: unknown;
  /** @deprecated No effect: exec_mode says it. */
  "cluster_mode"?: unknown;
  /** @deprecated No effect: watch takes the paths. */
  "watch-paths"?: unknown;
  /** @deprecated No effect: watch takes the paths. */
  "watchPaths"?: unknown;
  /** @deprecated No effect: watch takes the paths. */
  "watch_paths"?: unknown;
  /** @deprecated No effect: listen_timeout says it. */
  "graceful-listen-timeout"?: unknown;
  /** @deprecated No effect: listen_timeout says it. */
  "gracefulListenTimeout"?: unknown;
  /** @deprecated No effect: listen_timeout says it. */
  "graceful_listen_timeout"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "health-check-url"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "healthCheckUrl"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "health_check_url"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "health-check-interval"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "healthCheckInterval"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "health_check_interval"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "health-check-timeout"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "healthCheckTimeout"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "health_check_timeout"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "health-check-max-fails"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "healthCheckMaxFails"?: unknown;
  /** @deprecated No effect: health is not asked for over HTTP; what ends, or does not listen in time, is restarted. */
  "health_check_max_fails"?: unknown;
  /** @deprecated No effect: `maitred run` shows what apps write. */
  "raw"?: unknown;
  /** @deprecated No effect: `maitred run` stays in the foreground. */
  "no-daemon"?: unknown;
  /** @deprecated No effect: `maitred run` stays in the foreground. */
  "noDaemon"?: unknown;
  /** @deprecated No effect: `maitred run` stays in the foreground. */
  "no_daemon"?: unknown;
  /** @deprecated No effect: deploying belongs to git and ssh. */
  "deploy-config"?: unknown;
  /** @deprecated No effect: deploying belongs to git and ssh. */
  "deployConfig"?: unknown;
  /** @deprecated No effect: deploying belongs to git and ssh. */
  "deploy_config"?: unknown;
  /** @deprecated No effect: versions belong to git. */
  "versioning-config"?: unknown;
  /** @deprecated No effect: versions belong to git. */
  "versioningConfig"?: unknown;
  /** @deprecated No effect: versions belong to git. */
  "versioning_config"?: unknown;
  "execute-command"?: true | false | "true" | "false";
  "executeCommand"?: true | false | "true" | "false";
  "execute_command"?: true | false | "true" | "false";
  "disable-source-map-support"?: true | false | "true" | "false";
  "disableSourceMapSupport"?: true | false | "true" | "false";
  "disable_source_map_support"?: true | false | "true" | "false";
}
