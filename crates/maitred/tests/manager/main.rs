//! The process manager, command by command, with real processes.
//!
//! Each test has a home folder of its own. It waits for what commands tell, and looks at effects:
//! processes, ports, files, and what `jlist` says.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken expectation anywhere in a test ends it"
)]

#[expect(
    dead_code,
    unused_imports,
    reason = "shared with other test programs, which use more of it"
)]
#[path = "../end_to_end/harness/mod.rs"]
mod harness;
mod home;

mod at_once;
mod awaited;
mod beside_pm2;
mod blocked;
mod boot;
mod brought_back;
mod callers;
mod changes;
mod client;
mod dependencies;
mod described;
mod descriptors;
mod drain_delay;
mod drains;
mod environment;
mod events;
mod foreground;
mod forked;
mod from_pm2;
mod hardened;
mod health;
mod hooks;
mod hostile_dumps;
mod identity;
mod inspect;
mod intruder;
mod jobs;
mod kill_signal;
mod lifecycle;
mod listeners;
mod local_users;
mod logs;
mod messages;
mod metrics;
mod monit;
mod moves;
mod names;
mod neighbours;
mod newcomer;
mod parked;
mod pm2_page;
mod rebinding;
mod recreated;
mod reload;
mod removed;
mod renewal;
mod service_manager;
mod settings;
mod starts;
mod states;
mod stored;
mod strays;
mod targets;
mod tls_keys;
mod trouble;
mod truths;
mod unix_paths;
mod updates;
mod wait;
