//! The dispatcher: it owns the app's listening sockets, and hands each connection to a worker.
//!
//! One thread, one epoll. Workers ask for their listeners at the registration socket, which has a
//! thread of its own ([`registration`]), and become members of a listener ([`members`]); the loop
//! ([`turn`]) accepts, lets the pure balancer choose, and sends. It knows of processes only that
//! they live or have ended. What the rest of the supervisor should know, it says in [`Notice`]s,
//! and never waits for it.

#![forbid(unsafe_code)]

mod accepting;
mod address;
mod bound;
mod channel;
mod connection;
mod counts;
mod datagrams;
mod descriptors;
mod draining;
mod endpoint;
mod figures;
mod give_back;
mod ids;
mod ledger;
mod linger;
mod listeners;
mod members;
mod moderation;
mod notice;
mod oracle;
mod pidfd;
mod port_owner;
mod reading;
mod registered;
mod registration;
mod registration_events;
mod requests;
mod sock_diag;
mod starving;
mod token;
mod turn;
mod workers;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

pub use address::ListenAddress;
pub use descriptors::LEAST as LEAST_RESERVE;
pub use notice::Notice;
pub use registration::Settings as RegistrationSettings;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

use telemetry::figures::ListenerFigures;

/// What a dispatcher is to do.
#[derive(Debug)]
pub struct Settings {
    /// How to choose, and how much may wait.
    pub balance: balance::Settings,
    /// Each request is placed by itself, instead of each connection.
    pub requests: Option<proxy::Settings>,
    /// What workers ask, and what they may have.
    pub registration: RegistrationSettings,
}

/// Workers that drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Their process group.
    pub group: i32,
    /// The app stops, and no other worker follows. Listeners and idle connections are closed;
    /// what has been accepted is still served. Otherwise these workers get nothing more, and what they
    /// have not taken and idle connections go to others: those that are up, or come up next.
    pub for_good: bool,
    /// Connections are waited for of which it is not known whether a request is in progress, too:
    /// upgraded ones, streams of events, and what is no HTTP.
    pub opaque: bool,
}

enum Command {
    /// Accept no more.
    Close,
    /// Let these workers come to their end.
    Drain(Drain),
    /// Close the listener at this address, if no worker comes to use it.
    CloseUnused(ListenAddress),
    /// Workers are awaited that may listen where no worker does now, or are not.
    Expect(bool),
    /// Say what was counted.
    Figures(oneshot::Sender<Vec<ListenerFigures>>),
    /// Do this between two events.
    Run(Box<dyn FnOnce(&mut turn::Turn) + Send>),
    /// Leave.
    End,
}

/// The dispatcher's thread, from outside.
#[derive(Debug)]
pub struct Dispatcher {
    commands: mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    farewell: registration::Farewell,
}

impl Dispatcher {
    /// Starts the thread. Notices that do not fit into the channel are dropped.
    ///
    /// # Errors
    /// If the kernel grants no epoll, eventfd or thread.
    pub fn start(
        settings: Settings,
        notices: tokio::sync::mpsc::Sender<Notice>,
    ) -> io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (registration, farewell) = registration::start(
            settings.registration,
            commands.clone(),
            wake.clone(),
            notices.clone(),
        )?;
        let (balance, requests) = (settings.balance, settings.requests);
        let turn = turn::Turn::new(
            balance,
            requests,
            registration,
            notices,
            inbox,
            wake.clone(),
        )?;
        let thread = std::thread::Builder::new()
            .name("dispatcher".into())
            .spawn(move || turn.run())?;
        Ok(Self {
            commands,
            wake,
            thread: Some(thread),
            farewell,
        })
    }

    /// Stops accepting. What has been accepted is still handed out.
    pub fn close(&self) {
        self.say(Command::Close);
    }

    /// The workers of a process group drain: when they have no work any more, they are reported with
    /// [`Notice::Drained`]. Those of them that listen from now on get nothing. The latest word on a group
    /// counts.
    pub fn drain(&self, drain: Drain) {
        self.say(Command::Drain(drain));
    }

    /// Closes the listener at an address when no process holds it, unless a worker comes to listen
    /// there before.
    pub fn close_unused(&self, address: ListenAddress) {
        self.say(Command::CloseUnused(address));
    }

    /// Tells whether workers are awaited that may listen where no worker does now: those that start, or
    /// are about to. As long as none is, a listener that its last worker closes is closed at once; and
    /// after [`Self::close`] there are listeners again when some are.
    pub fn expect_workers(&self, awaited: bool) {
        self.say(Command::Expect(awaited));
    }

    /// What was counted so far, for each listener.
    pub async fn figures(&self) -> Vec<ListenerFigures> {
        let (answer, figures) = oneshot::channel();
        self.say(Command::Figures(answer));
        figures.await.unwrap_or_default()
    }

    fn say(&self, command: Command) {
        // If the thread has ended there is nothing left to say it to.
        let _ = self.commands.send(command);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.say(Command::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.farewell.wait();
    }
}
