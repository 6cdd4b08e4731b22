//! What to run: what the user wrote becomes an [`App`], in which nothing means "default" any more.
//!
//! ```text
//! config file ── file, evaluate ──▶ value ── entry ──▶ Entry ── resolve ──▶ App
//! flags ──────── (cli::flags) ───────────────────────────▲
//! ```
//!
//! Which fields there are stands in [`fields`] alone, what they mean by default in [`resolve`].

mod app;
mod called;
mod change;
mod concerns;
mod cron;
mod duplicates;
#[cfg(test)]
mod effects;
mod encode;
mod entry;
mod env_file;
mod environment;
mod evaluate;
mod field;
mod fields;
mod file;
mod here;
mod identity;
mod instance_env;
mod instances;
mod interpreter;
mod javascript;
mod kind;
mod logs;
mod names;
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
mod units;
mod variables;
mod watch;
mod words;

pub(crate) use app::{App, Balance, ExecMode, Interpreter, Policy};
pub(crate) use called::called;
pub(crate) use change::changed;
pub(crate) use cron::Cron;
pub(crate) use environment::{Environment, FilterEnv, RUN_VAR, compose, with_own};
pub(crate) use field::{Category, Field, Flag, Takes};
pub(crate) use fields::{Entry, FIELDS};
#[cfg(feature = "fuzzing")]
pub(crate) use file::read_any_text;
pub(crate) use file::{ConfigFile, is_config, load, load_json, usual};
pub(crate) use here::here;
pub(crate) use identity::user_name;
pub(crate) use instances::{Instances, processors};
pub(crate) use kind::Words;
pub(crate) use logs::{LogFormat, Logs, Place, Rotation};
pub(crate) use programs::takes_no_library;
pub(crate) use requests::{AccessFormat, Requests};
pub(crate) use resolve::{INSTANCE_VAR, Resolved, Surroundings, resolve};
pub(crate) use restart::{Pause, Restart};
pub(crate) use schema::schema;
pub(crate) use secrets::shown;
pub(crate) use signal::{KillSignal, signal, signal_name};
pub(crate) use watch::Watch;
