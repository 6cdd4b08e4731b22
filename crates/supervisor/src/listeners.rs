//! The app's listeners, as the dispatcher tells of them: which runs listen where, and which listeners
//! have outlived all who would use them.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::instance::{RunId, State};
use super::instances::Instances;
use super::listening::Kind;
use balance::MemberId;
use dispatcher::ListenAddress;
use home::control::ListenerView;
use telemetry::figures::{Foreign, ListenerFigures};
use telemetry::ids::Instance;

/// A listener that a successor has not taken over is closed when that one listens elsewhere, and has
/// not changed that for so long: what it opens late in its start finds its clients waiting.
const UNCLAIMED: Duration = Duration::from_secs(10);

/// Has somebody keep a socket while the app does not run.
pub type Store = fn(OwnedFd) -> io::Result<()>;

/// Shuts down sockets that were kept, and that the app does not want back: who keeps them gives them up.
pub fn give_up_stored(sockets: Vec<OwnedFd>) {
    for socket in sockets {
        // One that is shut down already is given up, too.
        let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
    }
}

/// A run of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunOf {
    pub(super) instance: Instance,
    pub(super) run: RunId,
}

/// A listener.
#[derive(Debug)]
struct Listener {
    workers: usize,
    /// The latest run of each instance that has listened there.
    owners: BTreeMap<Instance, RunId>,
    kind: Kind,
    /// What is spoken there, where it is not the HTTP that it should be.
    foreign: Option<Foreign>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    all: BTreeMap<ListenAddress, Listener>,
    /// Of which run each worker is that listens.
    members: HashMap<MemberId, RunOf>,
    /// When to look next which of them are of no use any more.
    pub(super) check: Option<Duration>,
    /// Who keeps them while the app does not run.
    pub(super) store: Option<Store>,
}

impl Listeners {
    /// Notes a listener without workers, for these instances. It is closed when each of them is up and
    /// listens elsewhere, or rests.
    pub(super) fn adopted(&mut self, address: ListenAddress, instances: &[Instance]) {
        // The first run of an instance is 1.
        let owners = instances
            .iter()
            .map(|instance| (*instance, RunId::NONE))
            .collect();
        let listener = Listener {
            workers: 0,
            owners,
            kind: Kind::Named,
            foreign: None,
        };
        self.all.insert(address, listener);
    }

    /// A worker listens; whether several runs have done so there.
    pub(super) fn joined(
        &mut self,
        member: MemberId,
        address: &ListenAddress,
        workers: usize,
        of: Option<(RunOf, Kind)>,
    ) -> bool {
        let listener = self.all.entry(address.clone()).or_insert(Listener {
            workers,
            owners: BTreeMap::new(),
            kind: Kind::Named,
            foreign: None,
        });
        listener.workers = workers;
        // This one may speak something else.
        listener.foreign = None;
        let Some((owner, kind)) = of else {
            return false;
        };
        self.members.insert(member, owner);
        let mut owners = listener.owners.iter();
        let common = owners.any(|(instance, run)| (*instance, *run) != (owner.instance, owner.run));
        listener.kind = if common { Kind::Named } else { kind };
        listener.owners.insert(owner.instance, owner.run);
        common
    }

    /// A worker listens no more; of which run it was.
    pub(super) fn left(
        &mut self,
        member: MemberId,
        address: &ListenAddress,
        workers: usize,
    ) -> Option<RunOf> {
        if let Some(listener) = self.all.get_mut(address) {
            listener.workers = workers;
        }
        self.members.remove(&member)
    }

    /// The workers of a run.
    pub(super) fn workers_of(&self, run: RunOf) -> Vec<MemberId> {
        let members = self.members.iter();
        let its = members.filter(|(_, of)| **of == run);
        its.map(|(member, _)| *member).collect()
    }

    /// A process of a run has been reaped.
    pub(super) fn forget(&mut self, ended: RunOf) {
        self.members.retain(|_, of| *of != ended);
    }

    /// Something else than HTTP is spoken at a listener.
    pub(super) fn is_foreign(&mut self, address: &ListenAddress, what: Foreign) {
        if let Some(listener) = self.all.get_mut(address) {
            listener.foreign = Some(what);
        }
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        let mut used = self.all.iter().filter(|(_, it)| it.workers > 0);
        used.any(|(address, _)| address.port() == Some(port))
    }

    /// Takes out those without workers whose owners have ended, and whose successors listen elsewhere.
    pub(super) fn take_unclaimed(
        &mut self,
        instances: &Instances,
        now: Duration,
    ) -> Vec<ListenAddress> {
        // One whose owner is not known stays: anybody may want it.
        let unused = self.all.iter();
        let unused = unused.filter(|(_, it)| it.workers == 0 && !it.owners.is_empty());
        let mut over = Vec::new();
        let mut check: Option<Duration> = None;
        for (address, listener) in unused {
            let owners = listener.owners.iter();
            let wants = owners
                .map(|(instance, run)| instances.wants(address, listener.kind, *instance, *run));
            let latest = wants.fold(Want::None, |most, want| match (most, want) {
                (Want::Open, _) | (_, Want::Open) => Want::Open,
                (Want::Until(one), Want::Until(other)) => Want::Until(one.max(other)),
                (Want::None, other) | (other, Want::None) => other,
            });
            match latest {
                Want::Open => {}
                Want::Until(at) if at > now => check = check.into_iter().chain([at]).min(),
                Want::Until(_) | Want::None => over.push(address.clone()),
            }
        }
        self.check = check;
        for address in &over {
            self.all.remove(address);
        }
        over
    }

    pub(super) fn view(&self, figures: &[ListenerFigures]) -> Vec<ListenerView> {
        let waiting = |address: &str| {
            let figures = figures.iter().filter(|it| it.address == address);
            let waiting = figures.map(|it| match &it.requests {
                Some(requests) => requests.waiting,
                None => it.waiting,
            });
            waiting.sum::<usize>() as u64
        };
        let used = self.all.iter().filter(|(_, it)| it.workers > 0);
        let views = used.map(|(address, listener)| ListenerView {
            address: address.to_string(),
            workers: listener.workers,
            foreign: listener.foreign,
            waiting: waiting(&address.to_string()),
        });
        views.collect()
    }
}

/// Whether a former owner of a listener, or its successor, may still want it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    None,
    Until(Duration),
    Open,
}

impl Instances {
    /// Whether an instance whose run has listened at an address may still want it.
    fn wants(&self, address: &ListenAddress, kind: Kind, instance: Instance, run: RunId) -> Want {
        let Some(slot) = self.get(instance) else {
            return Want::None;
        };
        if slot.processes.iter().any(|it| it.run == run) {
            // What it has closed itself the dispatcher sees to.
            return Want::Open;
        }
        if kind == Kind::OneRun {
            return Want::None;
        }
        let current = match slot.lifecycle.state() {
            State::Resting(_) if slot.processes.is_empty() => return Want::None,
            State::Running(current) if current.up => slot.current(),
            _ => None,
        };
        let Some(successor) = current.map(|process| &process.listening) else {
            return Want::Open;
        };
        if !successor.listens() {
            // It may be slow.
            return Want::Open;
        }
        if kind == Kind::Uncertain && successor.has_another(address) {
            return Want::None;
        }
        Want::Until(successor.changed() + UNCLAIMED)
    }
}
