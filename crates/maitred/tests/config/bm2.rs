//! Config files in the style of bm2: TypeScript, with fields in camelCase.

use serde_json::json;

use crate::harness::{Place, at};

/// Every field that bm2 takes for an app, each with the type that it has there.
const CONFIG: &str = r#"
import type { EcosystemConfig, StartOptions } from "bm2";

const api: StartOptions = {
  name: "api",
  script: "./server.ts",
  args: ["--verbose", "two words"],
  cwd: "./app",
  env: { NODE_ENV: "production" },
  instances: 4,
  execMode: "cluster",
  autorestart: true,
  maxRestarts: 10,
  minUptime: 5000,
  maxMemoryRestart: "512M",
  watch: ["src"],
  ignoreWatch: ["node_modules", ".git"],
  interpreter: "bun",
  interpreterArgs: ["--smol"],
  mergeLogs: true,
  logDateFormat: "YYYY-MM-DD",
  errorFile: "./logs/err.log",
  outFile: "./logs/out.log",
  killTimeout: 5000,
  restartDelay: 1000,
  cron: "0 3 * * *",
  port: 3000,
  logMaxSize: "20M",
  logRetain: 5,
  logCompress: true,
  waitReady: true,
  listenTimeout: 10000,
  namespace: "web",
  sourceMapSupport: false,
};

export default {
  apps: [
    api,
    { name: "worker", script: "./app/server.ts", nodeArgs: ["--smol"], maxMemoryRestart: 1048576 },
  ],
  deploy: { production: { user: "me", host: "a", ref: "main", repo: "r", path: "/srv" } },
} satisfies EcosystemConfig;
"#;

fn place(config: &str) -> Place {
    Place::new()
        .file("ecosystem.config.ts", config)
        .file("app/server.ts", "")
        .file("app/src/a.ts", "")
        .runtimes(&["bun"])
}

#[test]
fn a_config_of_bm2_means_what_it_says() {
    let place = place(CONFIG);
    let (apps, warnings) = place.apps(&["ecosystem.config.ts"]);
    assert_eq!(warnings, "");
    let folder = place.path("app").display().to_string();
    let [api, worker] = &apps[..] else {
        panic!("{apps:?}");
    };
    for (path, expected) in [
        ("name", json!("api")),
        ("namespace", json!("web")),
        ("script", json!(format!("{folder}/server.ts"))),
        ("args", json!(["--verbose", "two words"])),
        ("cwd", json!(folder)),
        ("env", json!({ "NODE_ENV": "production", "PORT": "3000" })),
        ("instances", json!(4)),
        ("exec_mode", json!("cluster")),
        ("autorestart", json!(true)),
        ("max_restarts", json!(10)),
        ("min_uptime", json!(5000)),
        ("restart_delay", json!(1000)),
        ("max_memory_restart", json!(512 << 20)),
        ("watch", json!([format!("{folder}/src")])),
        ("ignore_watch", json!(["node_modules", ".git"])),
        ("interpreter_args", json!(["--smol"])),
        ("merge_logs", json!(true)),
        ("log_date_format", json!("YYYY-MM-DD")),
        ("error_file", json!(format!("{folder}/logs/err.log"))),
        ("out_file", json!(format!("{folder}/logs/out.log"))),
        ("log_max_size", json!(20 << 20)),
        ("log_retain", json!(5)),
        ("log_compress", json!(true)),
        ("kill_timeout", json!(5000)),
        ("listen_timeout", json!(10000)),
        ("wait_ready", json!(true)),
        ("cron_restart", json!("0 3 * * *")),
    ] {
        assert_eq!(*at(api, path), expected, "{path}");
    }
    assert!(at(api, "interpreter").as_str().unwrap().ends_with("/bun"));
    for (path, expected) in [
        ("instances", json!(1)),
        ("exec_mode", json!("fork")),
        ("interpreter_args", json!(["--smol"])),
        ("max_memory_restart", json!(1_048_576)),
        ("namespace", json!("default")),
    ] {
        assert_eq!(*at(worker, path), expected, "{path}");
    }
}

#[test]
fn what_bm2_has_alone_is_noted() {
    for field in [
        "healthCheckUrl: 'http://localhost/health'",
        "healthCheckInterval: 30000",
        "healthCheckTimeout: 5000",
        "healthCheckMaxFails: 3",
        "reusePort: true",
        "clusterMode: true",
        "watchPaths: ['src']",
        "gracefulListenTimeout: 3000",
        "noDaemon: true",
        "raw: true",
    ] {
        let config = format!("export default {{ script: './app/server.ts', {field} }}");
        let (_, warnings) = place(&config).apps(&["ecosystem.config.ts"]);
        let name = field.split(':').next().unwrap();
        let expected = format!("{name} does nothing here");
        assert!(warnings.contains(&expected), "{warnings}");
        assert_eq!(warnings.lines().count(), 1, "{warnings}");
    }
}
