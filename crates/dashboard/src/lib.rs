//! The dashboard: an HTTP server with a web page and an API, which shows apps and does what is ordered
//! there.
//!
//! It knows no app by itself. Who starts it puts on a [`Board`] what it sees of apps, and lends it
//! [`Hands`], which act on them. Whoever may reach its address may ask; [`Access`] decides who gets an
//! answer, and everything that a client can cost is bounded.

#![forbid(unsafe_code)]

mod access;
mod assets;
mod board;
mod history;
mod routes;
mod serve;
mod stream;
mod text;
mod views;

use std::fmt;

pub use access::{Access, is_long_enough};
pub use board::Board;
pub use history::{Columns, Figures};
pub use http::uri::Authority;
pub use serve::{Settings, run};
pub use text::plain;
pub use views::{App, Condition, Happened, Instance, Kind, Listener, LogLine, Seen, Unit};

/// What can be done with an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Start,
    Stop,
    Restart,
    Reload,
    /// Scale to this many instances.
    Scale(u32),
}

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub app: String,
    /// One instance, by its number within the app; `None` for the whole app.
    pub instance: Option<u32>,
    pub action: Action,
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no app of this name, or no such instance of it.
    Unknown(String),
    /// It was tried and failed.
    Failed(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

/// The lines of a log that is followed, until this is dropped.
pub trait Lines: Send {
    /// The lines that have come since the last call, at most this many.
    fn take(&mut self, most: usize) -> Vec<LogLine>;
}

/// What acts on apps, and asks them what the board does not show. All of it may take long, and is called
/// from threads that may wait.
pub trait Hands: Send + Sync + 'static {
    /// Does what is ordered; says what was done.
    ///
    /// # Errors
    /// If it is not done, or has failed; says why.
    fn act(&self, order: &Order) -> Result<String, Refused>;

    /// The last lines of an app's logs, so many of each.
    ///
    /// # Errors
    /// If there is no such app, or a log cannot be read.
    fn logs(&self, app: &str, lines: usize) -> Result<Vec<LogLine>, Refused>;

    /// The same, and those that are written from now on.
    ///
    /// # Errors
    /// If there is no such app, or it cannot be followed.
    fn follow(&self, app: &str, lines: usize) -> Result<Box<dyn Lines>, Refused>;

    /// What is measured of all apps, with its media type; in OpenMetrics format if that is wanted.
    ///
    /// # Errors
    /// If an app cannot be asked.
    fn metrics(&self, open_metrics: bool) -> Result<(&'static str, String), Refused>;
}
