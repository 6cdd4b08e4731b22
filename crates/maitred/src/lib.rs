//! maitred runs an app as N worker processes behind one door.
//!
//! This file only connects the rooms: what the user wrote ([`cli`], [`config`]) becomes an app
//! that a supervisor runs ([`supervisor`]), under the eyes of a guard ([`guard`]), while a
//! dispatcher ([`dispatcher`]) hands its connections out.

#![forbid(unsafe_code)]

mod access;
mod apps;
mod cgroup;
mod cli;
mod config;
mod control;
mod dispatcher;
mod events;
mod figures;
mod guard;
mod home;
mod ipc;
mod logs;
mod memory;
mod output;
mod process_tree;
mod proxy;
mod runtime_folder;
mod safe_files;
mod schedule;
mod socket_table;
mod supervisor;
mod watch;

#[cfg(feature = "fuzzing")]
pub mod untrusted;

use std::process::ExitCode;

/// Does what the command line of this process says.
pub fn main() -> ExitCode {
    cli::main()
}
