//! What to run: what the user wrote becomes an [`App`], in which nothing means "default" any more.
//!
//! ```text
//! config file ── file, evaluate ──▶ value ── entry ──▶ Entry ── resolve ──▶ App
//! flags ──────── (cli::flags) ───────────────────────────▲
//! ```
//!
//! Which fields there are stands in [`fields`] alone, what they mean by default in [`resolve`].

#![forbid(unsafe_code)]

mod app;
mod called;
mod change;
mod concerns;
mod cron;
mod depends;
mod duplicates;
#[cfg(test)]
mod effects;
mod encode;
mod entry;
mod env_file;
mod environment;
mod evaluate;
mod execution;
mod field;
mod fields;
mod file;
mod health;
mod here;
mod identity;
mod instance_env;
mod instances;
mod interpreter;
mod javascript;
mod kind;
mod logs;
mod metrics;
mod names;
mod paths;
mod programs;
#[cfg(test)]
mod reference;
mod requests;
mod resolve;
mod restart;
mod runtime;
mod schema;
mod secrets;
mod signal;
#[cfg(test)]
mod types;
mod units;
mod variables;
mod watch;
mod words;
mod written;

pub use app::{App, Balance, ExecMode, Interpreter, Policy};
pub use called::{called, check_names};
pub use change::changed;
pub use cron::{Cron, Overlap};
pub use depends::{Dependency, Until};
pub use environment::{Environment, FilterEnv, RUN_VAR, compose, with_own};
pub use field::{Category, Field, Flag, Takes};
pub use fields::{Entry, FIELDS};
#[cfg(feature = "fuzzing")]
pub use file::read_any_text;
pub use file::{ConfigFile, is_config, load, load_json, usual};
pub use health::{Check, Health};
pub use here::here;
pub use identity::user_name;
pub use instances::{Instances, processors};
pub use kind::Words;
pub use logs::{LogFormat, Logs, Place, Rotation};
pub use programs::takes_no_library;
pub use requests::{AccessFormat, Requests};
pub use resolve::{INSTANCE_VAR, Resolved, Surroundings, resolve};
pub use restart::{Pause, Restart};
pub use schema::schema;
pub use secrets::shown;
pub use signal::{KillSignal, signal, signal_name};
pub use watch::Watch;
