//! What to run: the app, resolved from what the user wrote. Nothing here means "default" any
//! more.

mod instances;
mod interpreter;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use instances::{Instances, processors};
pub(crate) use interpreter::{is_static, resolve};

/// One app, ready to run.
#[derive(Debug)]
pub(crate) struct App {
    /// How it is called in output.
    pub(crate) name: String,
    /// The program, and its arguments.
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) cwd: PathBuf,
    /// How many processes; at least one.
    pub(crate) instances: u32,
    pub(crate) restart: Restart,
    /// From the first signal to SIGKILL.
    pub(crate) kill_timeout: Duration,
    pub(crate) balance: balance::Settings,
    /// Each request is placed by itself, instead of each connection.
    pub(crate) requests: Option<crate::proxy::Settings>,
    /// TCP ports that each worker opens for itself.
    pub(crate) private_ports: Vec<u16>,
    /// One instance without restart: its input and output are the caller's.
    pub(crate) pass_through: bool,
}

/// What becomes of a process that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restart {
    /// Whether another one follows at all.
    pub(crate) auto: bool,
    /// How many unstable runs in a row are tried again.
    pub(crate) max_unstable: u32,
    /// A run that is shorter than this is unstable.
    pub(crate) min_uptime: Duration,
    /// A fixed pause before each restart, instead of one that grows.
    pub(crate) delay: Option<Duration>,
}
