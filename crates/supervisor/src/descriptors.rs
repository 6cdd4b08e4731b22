//! Descriptors of a supervisor: it may need many, for its workers' output and for connections on
//! their way, and none of them shall have to be waited for.

use std::{fs, io};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::stdio;

use config::{App, ExecMode};
use dispatcher::LEAST_RESERVE;
use telemetry::events::Event;

use super::instances::Instances;

/// So many have room in the kernel's table from the beginning, at 8 bytes each.
const ROOM: u64 = 1024;

/// Makes room for descriptors, as long as there is one thread. Later the kernel would stop the
/// thread that needs a larger table for a grace period of RCU, 10 to 20 ms (`expand_fdtable` in its
/// `fs/file.c`): in the middle of a start, for 64 are used up with a handful of workers.
pub fn make_room() {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(ROOM);
    let highest = i32::try_from(limit.min(ROOM).saturating_sub(1)).unwrap_or(0);
    // The table grows for the number, and keeps its size. Without it all works too, but slower.
    drop(fcntl_dupfd_cloexec(stdio::stdin(), highest));
}

/// How many descriptors are open in this process beside the standard ones.
///
/// # Errors
/// If /proc cannot be read.
pub fn count_open() -> io::Result<u64> {
    let mut open = 0;
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<i32>().ok());
        open += u64::from(number.is_some_and(|number| number > 2));
    }
    // The one by which they are read.
    Ok(open - 1)
}

/// What a supervisor holds, by itself and for each instance; one whose instances write logs, and
/// may be sent lines and messages, holds more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holdings {
    ours: u64,
    instance: u64,
    /// What it takes besides, for a moment, to answer commands.
    commands: u64,
}

impl Holdings {
    /// `managed` as for [`super::spawn::Spawner`]. With `per_request`, no worker gives connections back.
    fn new(managed: bool, per_request: bool) -> Self {
        let returns = if per_request { 0 } else { RETURNS };
        match managed {
            true => Self {
                ours: 42,
                instance: 11 + returns,
                commands: 8,
            },
            false => Self {
                ours: 24,
                instance: 7 + returns,
                commands: 0,
            },
        }
    }

    /// How many files must be able to be open so that the instances can be started, one at a time,
    /// while a command or two are answered, and a client or two.
    fn least(self, instances: usize) -> u64 {
        self.held(instances) + SPAWN + self.commands + 2 * CLIENTS
    }

    /// How many connections may wait.
    fn room(self, limit: u64, instances: usize) -> usize {
        let room = limit.saturating_sub(self.held(instances) + SPAWN + self.commands);
        usize::try_from(room.max(1)).unwrap_or(usize::MAX)
    }

    /// How many it takes to serve requests of more than a few clients at a time. The dispatcher
    /// leaves one in eight free, or [`LEAST_RESERVE`].
    fn plenty(self, instances: usize) -> u64 {
        let all = self.held(instances) + CLIENTS * FEW;
        (all.saturating_mul(8) / 7).max(all + LEAST_RESERVE as u64)
    }

    fn held(self, instances: usize) -> u64 {
        let instances = u64::try_from(instances).unwrap_or(u64::MAX);
        let held = self.instance.saturating_mul(instances);
        // No more than can be told.
        held.saturating_add(self.ours).min(u64::from(u32::MAX))
    }
}

/// What it takes besides, for a moment, to start an instance and to hear of its listeners, while
/// those of one that has ended are being closed.
const SPAWN: u64 = 12;

/// What an instance takes besides to give connections back: the two ends of the socket pair for them,
/// and one connection on its way into the queue.
const RETURNS: u64 = 3;

/// What a client whose request is placed takes: its connection and one to a worker.
const CLIENTS: u64 = 2;

/// An app that serves fewer clients at a time is told so.
const FEW: u64 = 64;

/// How many files may be open, and how many must be able to be so that more than a few clients are
/// served at a time where requests are placed, if that is more.
fn shortage(holdings: Holdings, instances: usize) -> Option<(u64, u64)> {
    let limit = getrlimit(Resource::Nofile).current?;
    let needed = holdings.plenty(instances);
    (limit < needed).then_some((limit, needed))
}

/// The limit of open files, and the least one for so many instances, if that is higher.
fn too_few_for(holdings: Holdings, instances: usize) -> Option<(u64, u64)> {
    let limit = getrlimit(Resource::Nofile).current?;
    let least = holdings.least(instances);
    (limit < least).then_some((limit, least))
}

/// Why a process could not be started, if maitred or the system is at its limit: nothing is wrong
/// with the program then, and later there may be room.
pub(super) fn lack_of_room(error: &io::Error) -> Option<&'static str> {
    match error.raw_os_error().map(Errno::from_raw_os_error)? {
        Errno::MFILE => Some("maitred has too many open files; raise its limit (ulimit -n)"),
        Errno::NFILE => Some("the system has too many open files (fs.file-max)"),
        Errno::AGAIN => Some("there are too many processes (ulimit -u, pids.max of a container)"),
        Errno::NOMEM => Some("the kernel has no memory for another process"),
        _ => None,
    }
}

/// The descriptors of a supervisor, as far as they are known beforehand.
#[derive(Debug)]
pub(super) struct Descriptors {
    /// As for [`super::spawn::Spawner`].
    pub(super) managed: bool,
    /// How many were open before ours.
    pub(super) inherited: u64,
}

impl Descriptors {
    /// How many files may be open, and how many must be able to be, if that is more.
    pub(super) fn lacking(&self, app: &App, instances: usize) -> Option<(u64, u64)> {
        let requests = app.requests.as_ref();
        requests.and_then(|_| shortage(self.holdings(app), instances))
    }

    /// What there is to tell if that is more. Where requests are placed, the clients' connections are ours.
    pub(super) fn warning(&self, app: &App, instances: usize) -> Option<Event> {
        let (limit, needed) = self.lacking(app, instances)?;
        Some(Event::FewDescriptors {
            limit,
            needed,
            instances,
        })
    }

    /// Whether there may be so many instances.
    ///
    /// # Errors
    /// If not; says which limit is needed.
    pub(super) fn suffice_for(&self, app: &App, instances: usize) -> Result<(), String> {
        let Some((limit, least)) = too_few_for(self.holdings(app), instances) else {
            return Ok(());
        };
        let instances = match instances {
            1 => "one instance needs".to_owned(),
            more => format!("{more} instances need"),
        };
        Err(format!(
            "{instances} a limit of at least {least} open files, and maitred has {limit} \
             (ulimit -n, LimitNOFILE): raise the limit, or start fewer instances"
        ))
    }

    /// Whether an instance can run beside the one that it replaces.
    ///
    /// # Errors
    /// If not; says which limit is needed.
    pub(super) fn suffice_for_reload(
        &self,
        app: &App,
        instances: &Instances,
    ) -> Result<(), String> {
        let beside = app.exec_mode == ExecMode::Cluster
            && instances
                .iter()
                .any(|slot| slot.lifecycle.current().is_some());
        match too_few_for(self.holdings(app), instances.len() + 1) {
            Some((limit, least)) if beside => Err(format!(
                "a reload runs the new instance beside the old one, which needs a limit of at least \
                 {least} open files, and maitred has {limit} (ulimit -n, LimitNOFILE): raise the \
                 limit, or use `maitred restart`"
            )),
            _ => Ok(()),
        }
    }

    /// How the app's connections are placed. No more of them wait for a worker than there are descriptors beside those of all
    /// instances, and of one that a reload starts beside them: else they would take those of an
    /// instance that is about to start.
    pub(super) fn bounded(&self, app: &App, instances: usize) -> balance::ConnectionSettings {
        let mut balance: balance::ConnectionSettings = app.balance.into();
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            let holdings = self.holdings(app);
            let reloads = app.exec_mode == ExecMode::Cluster
                && limit >= holdings.least(instances.saturating_add(1));
            let room = holdings.room(limit, instances + usize::from(reloads));
            balance.queue = balance.queue.min(room);
        }
        balance
    }

    fn holdings(&self, app: &App) -> Holdings {
        let holdings = Holdings::new(self.managed, app.requests.is_some());
        Holdings {
            ours: holdings.ours.saturating_add(self.inherited),
            ..holdings
        }
    }
}

/// Raises our own limit as far as it goes. The one that there was, which workers keep.
pub(super) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, the old one serves.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    limit.current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_grows_with_the_instances() {
        let managed = Holdings::new(true, true);
        assert_eq!(managed.plenty(4), 254);
        assert!(managed.plenty(1) < 1024 && managed.plenty(50) < 1024);
        assert_eq!(
            [77, 84, 1024].map(|limit| managed.room(limit, 1)),
            [4, 11, 951]
        );
        assert_eq!(managed.room(10, 1), 1);
        let least = [1, 2, 3, 4].map(|instances| managed.least(instances));
        assert_eq!(least, [77, 88, 99, 110]);
        let connections = Holdings::new(true, false);
        assert_eq!(
            [1, 2].map(|instances| connections.least(instances)),
            [80, 94]
        );
        assert_eq!(Holdings::new(false, true).least(4), 68);
        assert!(managed.least(usize::MAX) > u64::from(u32::MAX));
    }

    #[test]
    fn only_limits_are_lack_of_room() {
        let lacks = |errno: Errno| lack_of_room(&errno.into()).is_some();
        assert!([Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM].map(lacks) == [true; 4]);
        assert!([Errno::NOENT, Errno::ACCESS, Errno::NOEXEC].map(lacks) == [false; 3]);
        assert!(lack_of_room(&io::Error::other("x")).is_none());
    }
}
