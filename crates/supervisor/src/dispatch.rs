//! The supervisor's side of the dispatcher: what it is told, what it has told, and what is known of its
//! listeners.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::sync::mpsc;

use super::instances::Instances;
use super::listeners::Listeners;
use super::starving::Starving;
use dispatcher::{Dispatcher, HeldBy, ListenAddress, Notice};
use home::control::ListenerView;
use process::sockets::Entry;
use telemetry::figures::ListenerFigures;
use telemetry::ids::Instance;

/// How many notices of the dispatcher may wait to be heard.
const NOTICES: usize = 1024;

/// The latest listeners of workers that are not shared, by their inodes.
#[derive(Debug, Default)]
pub(super) struct Native(VecDeque<u64>);

impl Native {
    /// So many are known.
    const MOST: usize = 1024;

    pub(super) fn add(&mut self, inode: u64) {
        if self.0.len() >= Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back(inode);
    }

    fn has(&self, inode: u64) -> bool {
        self.0.contains(&inode)
    }
}

/// The dispatcher, and what is known of it.
#[derive(Debug)]
pub(super) struct Dispatch {
    /// Where no sockets are shared there is none.
    pub(super) dispatcher: Option<Dispatcher>,
    pub(super) notices_in: mpsc::Sender<Notice>,
    pub(super) notices: mpsc::Receiver<Notice>,
    /// The number of the descriptor at which workers ask.
    pub(super) door: Option<i32>,
    /// What the dispatcher was told of what is awaited.
    said_awaited: Option<bool>,
    pub(super) listeners: Listeners,
    pub(super) native: Native,
    /// Clients wait, and no worker is up.
    pub(super) starving: Starving,
    /// What was counted, when it was asked last.
    pub(super) figures: Vec<ListenerFigures>,
}

impl Dispatch {
    /// None yet. `door` is where the workers of a supervisor before this one ask.
    pub(super) fn new(door: Option<i32>) -> Self {
        let (notices_in, notices) = mpsc::channel(NOTICES);
        Self {
            dispatcher: None,
            notices_in,
            notices,
            door,
            said_awaited: None,
            listeners: Listeners::default(),
            native: Native::default(),
            starving: Starving::No,
            figures: Vec::new(),
        }
    }

    /// Whether sockets are shared.
    pub(super) fn shares(&self) -> bool {
        self.dispatcher.is_some()
    }

    /// Lets the dispatcher know whether instances start or are about to.
    pub(super) fn expect_workers(&mut self, awaited: bool) {
        if let Some(dispatcher) = &self.dispatcher
            && self.said_awaited.replace(awaited) != Some(awaited)
        {
            dispatcher.expect_workers(awaited);
        }
    }

    /// Asks the dispatcher what was counted so far.
    pub(super) async fn count(&mut self) {
        if let Some(dispatcher) = &self.dispatcher {
            self.figures = dispatcher.figures().await;
        }
    }

    pub(super) fn view(&self) -> Vec<ListenerView> {
        self.listeners.view(&self.figures)
    }

    /// Whether a socket that listens is one that was told of, as far as its port says.
    pub(super) fn knows(&self, socket: &Entry) -> bool {
        self.native.has(socket.inode) || self.listeners.has_port(socket.local.port())
    }

    /// Listens at sockets that are open already, for these instances.
    pub(super) fn adopt(&mut self, sockets: Vec<OwnedFd>, held_by: HeldBy, instances: &[Instance]) {
        if let Some(dispatcher) = &self.dispatcher {
            for address in dispatcher.adopt(sockets, held_by) {
                self.listeners.adopted(address, instances);
            }
        }
    }

    /// A worker listens: the listener may be one to store.
    pub(super) fn store(&self, address: &ListenAddress) {
        if let Some(store) = self.listeners.store
            && let Some(dispatcher) = &self.dispatcher
            && let Some(copy) = dispatcher.to_store(address)
            // What is not kept is shut down when the app stops, as ever.
            && store(copy).is_ok()
        {
            dispatcher.mark_stored(address);
        }
    }

    /// Closes the listeners without workers whose owners have ended, and whose successors listen
    /// elsewhere.
    pub(super) fn close_unclaimed(&mut self, instances: &Instances, now: Duration) {
        for address in self.listeners.take_unclaimed(instances, now) {
            if let Some(dispatcher) = &self.dispatcher {
                dispatcher.close_unused(address);
            }
        }
    }
}
