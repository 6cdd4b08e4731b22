//! maitred runs an app as N worker processes behind one door.
//!
//! This file only connects the rooms: what the user wrote ([`cli`], [`config`]) becomes an app
//! that a supervisor runs ([`supervisor`]), under the eyes of a guard ([`guard`]), while a
//! dispatcher ([`dispatcher`]) hands its connections out.

#![forbid(unsafe_code)]

mod apps;
mod cli;
mod config;
mod control;
mod dispatcher;
mod events;
mod guard;
mod home;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the supervisor comes to it next")
)]
mod ipc;
#[expect(dead_code, unused_imports, reason = "the supervisor comes to it next")]
mod logs;
#[expect(dead_code, reason = "the supervisor comes to it next")]
mod memory;
mod output;
mod process_tree;
mod runtime_folder;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the supervisor comes to it next")
)]
mod schedule;
mod supervisor;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the supervisor comes to it next")
)]
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
