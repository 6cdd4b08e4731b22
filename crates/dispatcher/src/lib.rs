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
mod counts;
mod datagrams;
mod descriptors;
mod draining;
mod figures;
mod give_back;
mod ledger;
mod linger;
mod listeners;
mod members;
mod moderation;
mod oracle;
mod port_owner;
mod reading;
mod registered;
mod registration;
mod requests;
mod sock_diag;
mod starving;
mod token;
mod turn;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

pub use address::ListenAddress;
pub use descriptors::LEAST as LEAST_RESERVE;
pub use registration::Settings as RegistrationSettings;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

use telemetry::figures::{Foreign, ListenerFigures};

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

/// What happened that others should know.
#[derive(Debug)]
pub enum Notice {
    /// The library is loaded in this direct child.
    Loaded { pid: i32 },
    /// A worker has begun to listen.
    Listening {
        /// Tells the worker from all others, and its listeners from one another.
        member: u64,
        pid: i32,
        instance: u32,
        address: ListenAddress,
        /// The kernel chose the port.
        chosen: bool,
        /// How many workers listen there now.
        members: usize,
    },
    /// A worker listens at an address of its own, which is not shared.
    ListensNatively { inode: u64 },
    /// A worker has ended, or listens no more.
    Left {
        member: u64,
        pid: i32,
        instance: u32,
        address: ListenAddress,
        members: usize,
        /// Clients whose connections it had accepted, and which were open to its end or close to
        /// it: some of them where there are many.
        cut: Vec<SocketAddr>,
    },
    /// An address that a worker wants is taken by somebody else.
    InUse {
        instance: u32,
        address: ListenAddress,
        /// Who has it, where the kernel tells.
        by: Option<String>,
    },
    /// An instance has got the UDP socket of another one, which has the address.
    DatagramsShared { instance: u32, address: SocketAddr },
    /// Another instance has it, and the kernel does not give its socket.
    DatagramsNotShared { instance: u32, address: SocketAddr },
    /// Somebody else has it.
    DatagramsInUse {
        instance: u32,
        address: SocketAddr,
        by: Option<String>,
    },
    /// A worker may not have this port, and the config does not give it.
    PrivilegedPort {
        instance: u32,
        address: ListenAddress,
    },
    /// A process that does not descend from this supervisor has asked for a listener.
    Stranger { pid: i32, uid: u32 },
    /// A process asks for more listeners than the supervisor keeps for one, or for all.
    TooMuch { pid: i32 },
    /// The kernel does not tell whether this worker's loop is free.
    Blind { pid: i32 },
    /// The kernel does not tell which connections are open.
    Uncounted,
    /// No more connections can be accepted for want of descriptors; they wait in the backlog.
    OutOfDescriptors { limit: u64, reason: Option<String> },
    /// As many clients are connected as may be; others wait in the backlog.
    Crowded { limit: usize },
    /// Connections from this address are closed: it has as many as one address may have of so many
    /// in all.
    TurnedAway { address: IpAddr, limit: usize },
    /// Something else than HTTP is spoken at a listener whose requests are placed.
    Foreign {
        address: ListenAddress,
        what: Foreign,
    },
    /// A certificate has changed, and cannot be used as it is.
    Certificate { reason: String },
    /// The workers of a process group have nothing to do any more, which was asked.
    Drained { group: i32 },
    /// A request could not be served as it should.
    RequestFailed {
        address: ListenAddress,
        /// Its number, which the client was told.
        id: u64,
        /// The instance that had it.
        instance: Option<u32>,
        status: u16,
        reason: &'static str,
        /// The response had begun already.
        cut: bool,
        /// How many others before it were not told of.
        unsaid: u64,
    },
    /// So many more have failed, and were not told of one by one.
    RequestsFailed { count: u64 },
    /// Whether clients wait while no worker is up.
    Starving(bool),
    /// Connections were given up after they had waited too long.
    Refused { address: ListenAddress, total: u64 },
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
