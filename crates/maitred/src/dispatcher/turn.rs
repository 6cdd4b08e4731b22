//! The dispatcher's loop: wait, accept, choose, hand off.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use balance::{MemberId, Nanos};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::channel::{Connection, Workers};
use super::door::Parked;
use super::listeners::{Listener, ListenerId, Listeners};
use super::members::{Membership, Process};
use super::moderation::Moderation;
use super::{Command, Notice, Settings};

/// How many connections are accepted from one listener before others have their turn.
const BATCH: usize = 64;

/// How many callers may stand at the door with their question still to come.
const CALLERS: usize = 256;

/// After the process has run out of descriptors, it accepts again after this.
const BREATHER: Duration = Duration::from_millis(10);

/// So often the want of descriptors is told of.
const REMINDER: Duration = Duration::from_secs(10);

/// What an epoll event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Command,
    Door,
    Caller(u64),
    Listener(ListenerId),
    Channel(MemberId),
    Process(i32),
    Paths,
}

/// The lower bits of an event's data number the thing; identifiers do not reach the kind above
/// them.
const KIND: u32 = 56;

impl Token {
    pub(crate) fn data(self) -> epoll::EventData {
        let (kind, number) = match self {
            Self::Command => (0, 0),
            Self::Door => (1, 0),
            Self::Caller(number) => (2, number),
            Self::Listener(id) => (3, id.0),
            Self::Channel(id) => (4, id.0),
            Self::Process(pid) => (5, u64::from(pid as u32)),
            Self::Paths => (6, 0),
        };
        epoll::EventData::new_u64(kind << KIND | number)
    }

    fn of(data: epoll::EventData) -> Option<Self> {
        let data = data.u64();
        let number = data & ((1 << KIND) - 1);
        Some(match data >> KIND {
            0 => Self::Command,
            1 => Self::Door,
            2 => Self::Caller(number),
            3 => Self::Listener(ListenerId(number)),
            4 => Self::Channel(MemberId(number)),
            5 => Self::Process(number as i32),
            6 => Self::Paths,
            _ => return None,
        })
    }
}

/// All that the dispatcher's thread owns.
pub(crate) struct Turn {
    pub(crate) settings: Settings,
    pub(crate) epoll: Arc<OwnedFd>,
    pub(crate) workers: Workers,
    pub(crate) listeners: Listeners,
    pub(crate) members: HashMap<MemberId, Membership>,
    pub(crate) processes: HashMap<i32, Process>,
    /// Listeners of `node:cluster` workers on ports that the kernel chose, by primary and count.
    pub(crate) clusters: HashMap<(i32, u32), ListenerId>,
    pub(crate) parked: Vec<Parked>,
    /// Process groups whose workers get no more connections.
    pub(crate) retired: HashSet<i32>,
    /// Those who stand at the door, in the order in which they came.
    callers: BTreeMap<u64, OwnedFd>,
    notices: tokio::sync::mpsc::Sender<Notice>,
    commands: mpsc::Receiver<Command>,
    wake: Arc<OwnedFd>,
    /// Tells when something changes in a folder that holds a Unix listener's path.
    paths: Option<OwnedFd>,
    started: Instant,
    last_id: u64,
    /// The number of a descriptor from which on they are scarce: some must be left to take back
    /// what workers do not take.
    descriptors: i32,
    /// Until when nothing is accepted, for want of descriptors.
    breather: Option<Instant>,
    reminded: Option<Instant>,
    closed: bool,
    ended: bool,
    moderation: Moderation,
    /// How many connections have been accepted.
    accepted: u64,
}

impl Turn {
    pub(crate) fn new(
        settings: Settings,
        notices: tokio::sync::mpsc::Sender<Notice>,
        commands: mpsc::Receiver<Command>,
        wake: Arc<OwnedFd>,
    ) -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        epoll::add(
            &*epoll,
            &*wake,
            Token::Command.data(),
            epoll::EventFlags::IN,
        )?;
        epoll::add(
            &*epoll,
            &settings.door,
            Token::Door.data(),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            workers: Workers::new(epoll.clone(), |id| Token::Channel(id).data().u64()),
            settings,
            epoll,
            listeners: Listeners::default(),
            members: HashMap::new(),
            processes: HashMap::new(),
            clusters: HashMap::new(),
            parked: Vec::new(),
            retired: HashSet::new(),
            callers: BTreeMap::new(),
            notices,
            commands,
            wake,
            paths: None,
            started: Instant::now(),
            last_id: random_start()?,
            descriptors: descriptors_for_connections(),
            breather: None,
            reminded: None,
            closed: false,
            ended: false,
            moderation: Moderation::default(),
            accepted: 0,
        })
    }

    /// Runs until it is told to end.
    pub(crate) fn run(mut self) {
        let mut events = Vec::with_capacity(256);
        while !self.ended {
            let timeout = self.timeout();
            events.clear();
            match epoll::wait(
                &*self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                // Only a bug could break the epoll itself; without it nothing can be done.
                Err(_) => return,
            }
            for event in &events {
                if let Some(token) = Token::of(event.data) {
                    self.handle(token, event.flags);
                }
            }
            self.keep_time();
            self.moderate();
        }
    }

    /// Pauses when connections come in floods, unless some wait: then every turn counts.
    fn moderate(&mut self) {
        let now = self.now();
        let Some(pause) = self.moderation.pause(now) else {
            return;
        };
        let waiting = |listener: &Listener| listener.balancer.waiting() > 0;
        if !self.listeners.all.values().any(waiting)
            && let Ok(pause) = Timespec::try_from(pause)
        {
            // A signal may cut it short: that is no harm.
            let _ = rustix::thread::nanosleep(&pause);
        }
    }

    fn handle(&mut self, token: Token, flags: epoll::EventFlags) {
        match token {
            Token::Listener(id) => {
                self.accept(id);
            }
            Token::Channel(id) => {
                if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                    self.hung_up(id);
                } else if let Some(member) = self.members.get(&id)
                    && let Some(listener) = self.listeners.all.get_mut(&member.listener)
                {
                    let now = nanos(self.started);
                    listener.balancer.turned(now, id, &mut self.workers);
                }
            }
            Token::Door => self.let_in(),
            Token::Caller(number) => {
                if let Some(caller) = self.callers.remove(&number) {
                    self.hear(caller);
                }
            }
            Token::Process(pid) => self.process_ended(pid),
            Token::Paths => self.restore_paths(),
            Token::Command => self.obey(),
        }
    }

    /// Accepts a lot of what has arrived at a listener, and lets the balancer give it out. Whether
    /// there may be more to accept.
    fn accept(&mut self, id: ListenerId) -> bool {
        let Some(listener) = self.listeners.all.get_mut(&id) else {
            return false;
        };
        for _ in 0..BATCH {
            if !listener.balancer.has_room() {
                let _ = listener.accept(id, false, &self.epoll);
                return false;
            }
            match sys::accept(listener.socket.as_fd()) {
                Ok((socket, peer)) => {
                    self.moderation.count();
                    let scarce = socket.as_raw_fd() >= self.descriptors;
                    let connection = Connection::new(socket, peer.as_bytes());
                    let client = super::address::client(peer.as_bytes(), self.accepted);
                    self.accepted += 1;
                    let now = nanos(self.started);
                    listener
                        .balancer
                        .arrive(now, client, connection, &mut self.workers);
                    if scarce {
                        self.pause();
                        return false;
                    }
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        self.pause();
                        return false;
                    }
                    // A connection that was gone before it was accepted.
                    Some(Errno::CONNABORTED | Errno::PROTO | Errno::INTR) => {}
                    _ => return false,
                },
            }
        }
        true
    }

    /// Few descriptors are left: what arrives stays in the backlog for a moment.
    fn pause(&mut self) {
        let now = Instant::now();
        self.breather = Some(now + BREATHER);
        for (id, listener) in &mut self.listeners.all {
            let _ = listener.accept(*id, false, &self.epoll);
        }
        if self.reminded.is_none_or(|last| now - last > REMINDER) {
            self.reminded = Some(now);
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
            self.tell(Notice::OutOfDescriptors {
                limit: limit.unwrap_or(0),
            });
        }
    }

    /// Accepts again where there is room again.
    fn resume(&mut self) {
        if self.breather.is_some() || self.closed {
            return;
        }
        for (id, listener) in &mut self.listeners.all {
            if !listener.accepting && listener.balancer.has_room() {
                let _ = listener.accept(*id, true, &self.epoll);
            }
        }
    }

    /// Takes in those who come to the door. Too many who do not say what they want make room for
    /// others, the first first: the library asks as soon as it is let in.
    fn let_in(&mut self) {
        while let Ok((caller, _)) = sys::accept(self.settings.door.as_fd()) {
            let number = self.next_id();
            let data = Token::Caller(number).data();
            if epoll::add(&*self.epoll, &caller, data, epoll::EventFlags::IN).is_ok() {
                self.callers.insert(number, caller);
            }
            // One that has come just now may have said already what it wants.
            if self.callers.len() > CALLERS
                && let Some((_, first)) = self.callers.pop_first()
            {
                self.hear(first);
            }
        }
    }

    /// How long to wait: until the next thing that time brings.
    fn timeout(&self) -> Option<Timespec> {
        let now = Instant::now();
        let balancers = self
            .listeners
            .all
            .values()
            .filter_map(|listener| listener.balancer.deadline())
            .map(|at| self.started + Duration::from_nanos(at));
        let closing = self
            .listeners
            .all
            .values()
            .filter_map(|listener| Some(listener.closing?.at));
        let parked = self.parked.iter().map(|parked| parked.until);
        let next = balancers
            .chain(closing)
            .chain(parked)
            .chain(self.breather)
            .min()?;
        Timespec::try_from(next.saturating_duration_since(now)).ok()
    }

    /// Does what time has brought.
    fn keep_time(&mut self) {
        let now = Instant::now();
        if self.breather.is_some_and(|at| at <= now) {
            self.breather = None;
        }
        if self.parked.iter().any(|parked| parked.until <= now) {
            self.answer_parked();
        }
        let mut refusals = Vec::new();
        let nanos = nanos(self.started);
        let mut given_up = Vec::new();
        for (id, listener) in &mut self.listeners.all {
            if listener.balancer.deadline().is_some_and(|at| at <= nanos) {
                listener.balancer.tick(nanos, &mut self.workers);
                let total = listener.balancer.refused();
                if total > listener.refused {
                    listener.refused = total;
                    refusals.push((listener.address.clone(), total));
                }
            }
            if let Some(closing) = listener.closing.take_if(|closing| closing.at <= now)
                && self.processes.contains_key(&closing.by)
            {
                given_up.push(*id);
            }
        }
        for id in given_up {
            self.give_up(id);
        }
        self.resume();
        for (address, total) in refusals {
            self.tell(Notice::Refused { address, total });
        }
    }

    /// Ends a listener.
    fn give_up(&mut self, id: ListenerId) {
        self.listeners.all.remove(&id);
        let left: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.listener == id)
            .map(|(member, _)| *member)
            .collect();
        for member in left {
            self.hung_up(member);
        }
    }

    /// Ends those listeners at a port, at any address, that are kept open for a successor only.
    /// Whether there were any.
    pub(crate) fn give_up_closed(&mut self, port: u16) -> bool {
        let closed: Vec<_> = self
            .listeners
            .all
            .iter()
            .filter(|(_, listener)| {
                listener.closing.is_some() && listener.address.port() == Some(port)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in &closed {
            self.give_up(*id);
        }
        !closed.is_empty()
    }

    /// Takes a listener into the loop.
    pub(crate) fn add_listener(
        &mut self,
        id: ListenerId,
        mut listener: Listener,
    ) -> io::Result<()> {
        let data = Token::Listener(id).data();
        epoll::add(&*self.epoll, &listener.socket, data, epoll::EventFlags::IN)?;
        listener.accepting = true;
        if let super::ListenAddress::Path(path) = &listener.address {
            self.watch_folder_of(path.clone())?;
        }
        self.listeners.all.insert(id, listener);
        Ok(())
    }

    fn watch_folder_of(&mut self, path: std::path::PathBuf) -> io::Result<()> {
        use rustix::fs::inotify;
        let Some(folder) = path.parent() else {
            return Ok(());
        };
        if self.paths.is_none() {
            let paths =
                inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            let data = Token::Paths.data();
            epoll::add(&*self.epoll, &paths, data, epoll::EventFlags::IN)?;
            self.paths = Some(paths);
        }
        if let Some(paths) = &self.paths {
            let events = inotify::WatchFlags::DELETE | inotify::WatchFlags::MOVED_FROM;
            inotify::add_watch(paths, folder, events)?;
        }
        Ok(())
    }

    /// Something was removed in a folder with a listener's path.
    fn restore_paths(&mut self) {
        let mut bytes = [0; 4096];
        while let Some(paths) = &self.paths
            && matches!(rustix::io::read(paths, &mut bytes), Ok(len) if len > 0)
        {}
        for listener in self.listeners.all.values() {
            // After the last worker has closed it, it is to be gone.
            if let Some(path) = &listener.path
                && listener.closing.is_none()
                && !self.closed
            {
                path.restore();
            }
        }
    }

    fn obey(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Close => self.close(),
                Command::Retire(group) => self.retire(group),
                Command::End => self.ended = true,
            }
        }
    }

    /// Takes what the backlogs still hold, then accepts no more.
    fn close(&mut self) {
        self.closed = true;
        let ids: Vec<_> = self.listeners.all.keys().copied().collect();
        for id in ids {
            while self.accept(id) {}
            if let Some(listener) = self.listeners.all.get_mut(&id) {
                // Of a descriptor that is in the epoll this cannot fail.
                let _ = epoll::delete(&*self.epoll, &listener.socket);
                listener.accepting = false;
                // Shut down, the socket refuses newcomers; closed it is with the thread's end.
                let _ = rustix::net::shutdown(&listener.socket, rustix::net::Shutdown::Both);
            }
        }
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Nanoseconds since the dispatcher began.
    pub(crate) fn now(&self) -> Nanos {
        nanos(self.started)
    }

    /// Tells the supervisor; it may be too busy to hear.
    pub(crate) fn tell(&self, notice: Notice) {
        let _ = self.notices.try_send(notice);
    }
}

/// Three quarters of what we may have; the kernel gives the lowest free number.
fn descriptors_for_connections() -> i32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    i32::try_from(limit.unwrap_or(u64::MAX) / 4 * 3).unwrap_or(i32::MAX)
}

/// Identifiers are counted up from here. The names of channels are made of them, and all
/// supervisors share one namespace for such names.
fn random_start() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes) >> (64 - KIND + 1))
}

fn nanos(since: Instant) -> Nanos {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
