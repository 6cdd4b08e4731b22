//! What to run: what the user wrote becomes an [`App`], in which nothing means "default" any more.

mod app;
mod cron;
mod encode;
mod environment;
mod instances;
mod interpreter;
mod logs;
mod restart;
mod watch;

pub(crate) use app::{App, Balance, ExecMode, Interpreter, Policy};
pub(crate) use cron::Cron;
pub(crate) use environment::{FilterEnv, compose};
pub(crate) use instances::{Instances, processors};
pub(crate) use interpreter::{is_static, resolve};
pub(crate) use logs::{LogFormat, Logs, Place};
pub(crate) use restart::{Pause, Restart};
pub(crate) use watch::Watch;
