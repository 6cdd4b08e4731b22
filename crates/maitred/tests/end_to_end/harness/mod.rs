//! What the tests stand on: a maitred under test, clients that talk to it, and a look at the
//! processes it leaves.

mod events;
mod gate;
mod http;
mod output;
pub(crate) mod place;
mod processes;
mod run;
mod setup;
mod storm;

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use events::Event;
pub(crate) use gate::Gate;
pub(crate) use http::{
    Door, PATIENCE, Request, deal, read_some, rounds_at_its_port, rounds_of_simultaneous_requests,
    until_all_have_answered,
};
pub(crate) use place::{free_port, path_with_tools, repository, rounds, tool};
pub(crate) use processes::{Process, children_of, descendants_of, gone_within};
pub(crate) use run::Run;
pub(crate) use setup::Setup;
pub(crate) use storm::{raise_file_limit, storm};

/// Held while a test runs: either beside others, or alone on the machine.
static MACHINE: RwLock<()> = RwLock::new(());

/// For a test whose result does not depend on how busy the machine is: nearly all.
pub(crate) fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE
        .read()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// For a test that measures time, or takes all the machine has.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE
        .write()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
