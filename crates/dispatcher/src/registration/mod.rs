//! The registration socket: what workers ask, and what they are answered.
//!
//! A thread of its own hears them, for a call on what a worker names or hands over may take as long as
//! the worker likes: a path on a file system that hangs, a socket that lingers or whose lock is
//! held. The dispatcher touches nothing of that. What a question needs of listeners and members
//! the dispatcher does between two events, when it is asked to ([`Commands`]).
//!
//! Only processes that descend from this supervisor, or from its guard, are answered. Each connection carries one
//! request.

mod bind;
mod claims;
mod closing;
mod hearing;
mod heirs;
mod listen;
mod options;
mod own_ports;
mod own_socket;
mod paths;
mod peer;
mod private;
mod reserve;
mod unix_path;

pub(super) use unix_path::{KeptPath, PathNote, UnixPath};

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::Pid;
use wire::{Reply, Request, Verb};

use super::address::ListenAddress;
use super::command::{Commands, Gone};
use super::ids::ListenerId;
use super::notice::Notice;
use super::registration_events::{self, Inbox, RegistrationEvent, RegistrationEvents};
use claims::Claims;
use closing::Closer;
use peer::Peer;
use reserve::Reserve;
use telemetry::events::Event;
use telemetry::ids::Instance;

/// Refusals are told of once in this time.
const REMINDER: Duration = Duration::from_secs(10);

/// How long the end waits for this thread to remove paths.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the registration goes by.
#[derive(Debug)]
pub struct Settings {
    /// The socket at which workers ask.
    pub socket: OwnedFd,
    /// The process from which they descend: the supervisor, or its guard, whose children those are that have
    /// outlived a supervisor.
    pub ancestor: Pid,
    /// TCP ports that stay with each worker.
    pub private_ports: Vec<u16>,
    /// Names and paths of Unix sockets that stay with each worker.
    pub private_paths: Vec<String>,
    /// What is shared is taken for HTTP.
    pub per_request: bool,
    /// Ports that workers may bind although only root may.
    pub privileged_ports: Vec<u16>,
    /// A folder of our own, for links to the sockets of Unix listeners.
    pub links: PathBuf,
}

/// The thread, seen by others.
#[derive(Debug)]
pub(super) struct Thread {
    ended: mpsc::Receiver<()>,
    works: Arc<AtomicBool>,
}

impl Thread {
    /// Whether it does something now, so that a process may wait for its answer.
    pub(super) fn works(&self) -> bool {
        self.works.load(Ordering::Acquire)
    }

    /// Waits for the thread to remove what it has made. One that a worker holds up is left to the end
    /// of this process.
    pub(super) fn wait(&self) {
        let _ = self.ended.recv_timeout(FAREWELL);
    }
}

/// Starts the thread.
pub(super) fn start(
    settings: Settings,
    commands: Commands,
    notices: tokio::sync::mpsc::Sender<Notice>,
) -> io::Result<(RegistrationEvents, Thread)> {
    let (registration, inbox) = registration_events::line()?;
    let (alive, over) = mpsc::channel();
    let mut registrar = Registrar::new(settings, commands, notices, inbox)?;
    let works = registrar.works.clone();
    std::thread::Builder::new()
        .name("registration".into())
        .spawn(move || {
            registrar.run();
            registrar.hear_last();
            drop(registrar);
            drop::<mpsc::Sender<()>>(alive);
        })?;
    let thread = Thread { ended: over, works };
    Ok((registration, thread))
}

/// A question, with all that came along.
#[derive(Debug)]
struct Question {
    request: Request,
    peer: Peer,
    /// The socket, or the channel, that it is about.
    socket: OwnedFd,
    /// The kernel's number for that socket, and never another one.
    cookie: Option<u64>,
}

impl Question {
    /// The instance that the process says it belongs to.
    fn instance(&self) -> Instance {
        Instance(self.request.instance)
    }
}

/// An answer, and what goes along.
type Answer = (Reply, Option<OwnedFd>);

/// All that the thread owns.
#[derive(Debug)]
struct Registrar {
    settings: Settings,
    /// Where this thread asks the dispatcher to do something.
    dispatcher: Commands,
    notices: tokio::sync::mpsc::Sender<Notice>,
    inbox: Inbox,
    /// It does not wait for anybody now.
    works: Arc<AtomicBool>,
    epoll: OwnedFd,
    /// Those who are connected, and since when, in the order in which they came.
    callers: BTreeMap<u64, (OwnedFd, Instant)>,
    last_caller: u64,
    closer: Closer,
    reserve: Reserve,
    claims: Claims,
    /// The paths of Unix listeners.
    paths: HashMap<ListenerId, KeptPath>,
    /// Where an earlier supervisor has left a path without a listener.
    left: HashSet<ListenAddress>,
    /// Tells when something changes in a folder with such a path.
    inotify: Option<OwnedFd>,
    reminded: Option<Instant>,
    /// Ports at which processes listen by themselves, with SO_REUSEPORT.
    own_ports: HashSet<u16>,
    /// What was made after this, the app has made.
    started: SystemTime,
}

const SOCKET: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;
const PATHS: u64 = u64::MAX - 2;

impl Registrar {
    fn new(
        settings: Settings,
        dispatcher: Commands,
        notices: tokio::sync::mpsc::Sender<Notice>,
        inbox: Inbox,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut registrar = Self {
            settings,
            dispatcher,
            notices,
            inbox,
            works: Arc::default(),
            epoll,
            callers: BTreeMap::new(),
            last_caller: 0,
            closer: Closer::start()?,
            reserve: Reserve::default(),
            claims: Claims::default(),
            paths: HashMap::new(),
            left: HashSet::new(),
            inotify: None,
            reminded: None,
            own_ports: HashSet::new(),
            started: SystemTime::now(),
        };
        registrar.watch(&registrar.settings.socket, SOCKET)?;
        registrar.watch(registrar.inbox.bell(), WAKE)?;
        registrar.reserve.fill(registrar.inbox.bell());
        Ok(registrar)
    }

    fn watch(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(number);
        Ok(epoll::add(
            &self.epoll,
            descriptor,
            data,
            epoll::EventFlags::IN,
        )?)
    }

    /// Runs until the dispatcher ends.
    fn run(&mut self) {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            let room = rustix::buffer::spare_capacity(&mut events);
            let timeout = self.reserve.timeout();
            let timeout = timeout.and_then(|it| Timespec::try_from(it).ok());
            match epoll::wait(&self.epoll, room, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                // Only a bug could break the epoll itself; without it nothing can be done.
                Err(_) => return,
            }
            self.works.store(true, Ordering::Release);
            for event in &events {
                let handled = match event.data.u64() {
                    SOCKET => self.let_in(),
                    WAKE => self.hear_dispatcher(),
                    PATHS => self.restore_paths(),
                    number => match self.callers.remove(&number) {
                        Some((caller, _)) => self.hear(caller),
                        None => Ok(()),
                    },
                };
                if handled.is_err() {
                    return;
                }
            }
            if self.hear_again().is_err() {
                return;
            }
            self.works.store(false, Ordering::Release);
        }
    }

    fn hear_dispatcher(&mut self) -> Result<(), Gone> {
        self.inbox.heard();
        loop {
            match self.inbox.next() {
                Ok(RegistrationEvent::Ended(pid)) => {
                    let left = self.claims.forget(pid);
                    self.closer.close(left);
                }
                Ok(RegistrationEvent::Closed(listener)) => drop(self.paths.remove(&listener)),
                Ok(RegistrationEvent::Path(listener, kept)) => {
                    self.watch_path(listener, *kept);
                }
                Ok(RegistrationEvent::Left(address)) => {
                    self.left.insert(address);
                }
                Ok(RegistrationEvent::HandedOver) => {
                    self.hand_paths_over();
                    return Err(Gone);
                }
                Ok(RegistrationEvent::PutAway(descriptor)) => self.closer.close([descriptor]),
                Err(mpsc::TryRecvError::Empty) => return Ok(()),
                Err(mpsc::TryRecvError::Disconnected) => return Err(Gone),
            }
        }
    }

    /// What the dispatcher has told may lie there still where it has refused to do something since.
    fn hear_last(&mut self) {
        while let Ok(event) = self.inbox.next() {
            if matches!(event, RegistrationEvent::HandedOver) {
                self.hand_paths_over();
            }
        }
    }

    fn hand_paths_over(&mut self) {
        for (_, kept) in self.paths.drain() {
            kept.path.hand_over();
        }
    }

    fn answer(&mut self, question: &Question) -> Result<Answer, Gone> {
        let reply = match question.request.verb {
            Verb::Bind => self.bind(question)?,
            Verb::Listen => return self.listen(question),
            Verb::SetOption => self.set_option(question)?,
            Verb::GetOption => self.get_option(question)?,
            Verb::Adopt => return self.adopt(question),
            Verb::Name => self.name(question),
            Verb::ShareDatagrams => return Ok(self.share_datagrams(question)),
            Verb::Hello | Verb::Close | Verb::Remove => Reply::plain(wire::Outcome::Native),
        };
        Ok((reply, None))
    }

    /// Tells that somebody was refused; not of each.
    fn refuse(&mut self, event: Event) {
        let now = Instant::now();
        if self.reminded.is_none_or(|last| now - last > REMINDER) {
            self.reminded = Some(now);
            let _ = self.notices.try_send(event.into());
        }
    }
}

/// A call fails as it would have failed for the worker.
fn failed(error: &io::Error) -> Reply {
    let errno = match error.kind() {
        // We may not take on its rights.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => Errno::ACCESS,
        _ => Errno::from_io_error(error).unwrap_or(Errno::INVAL),
    };
    Reply::plain(wire::Outcome::Failed(errno.raw_os_error()))
}
