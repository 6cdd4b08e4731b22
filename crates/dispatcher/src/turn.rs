//! The dispatcher's loop: waits for whatever happens, and for time to pass, and sees to it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use balance::{MemberId, Nanos, Policy};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::accepting::descriptors_for_connections;
use super::bound::Bound;
use super::counts::{Counts, Need};
use super::descriptors::Descriptors;
use super::draining::Draining;
use super::give_back::WayBack;
use super::ids::ListenerId;
use super::listeners::{Listener, Listeners};
use super::members::{Membership, Process};
use super::moderation::Moderation;
use super::registration_events::{RegistrationEvent, RegistrationEvents};
use super::requests::Telling;
use super::token::{KIND, Token};
use super::workers::Workers;
use super::{Command, ListenAddress, Notice};
use proxy::Proxy;

/// All that the dispatcher's thread owns.
pub(crate) struct Turn {
    /// How to choose, and how much may wait.
    pub(super) balance: balance::Settings,
    pub(super) registration: RegistrationEvents,
    pub(crate) epoll: Arc<OwnedFd>,
    pub(crate) workers: Workers,
    pub(crate) listeners: Listeners,
    pub(crate) members: HashMap<MemberId, Membership>,
    pub(crate) processes: HashMap<i32, Process>,
    /// By which members give connections back; none for one that is not heard any more.
    pub(super) ways_back: HashMap<MemberId, Option<WayBack>>,
    /// Listeners of `node:cluster` workers on ports that the kernel chose, by primary and count.
    pub(crate) clusters: HashMap<(i32, u32), ListenerId>,
    /// Process groups whose workers get no more connections.
    pub(crate) retired: HashSet<i32>,
    notices: tokio::sync::mpsc::Sender<Notice>,
    commands: mpsc::Receiver<Command>,
    wake: Arc<OwnedFd>,
    pub(super) started: Instant,
    last_id: u64,
    /// The number of a descriptor from which on they are scarce: some must be left to take back
    /// what workers do not take.
    pub(super) descriptors: i32,
    /// Divides them, where requests are placed.
    pub(super) shares: Descriptors,
    /// Until when nothing is accepted, for want of descriptors.
    pub(super) breather: Option<Instant>,
    pub(super) reminded: Option<Instant>,
    pub(super) closed: bool,
    /// Workers are awaited that may listen where no worker does now.
    pub(super) awaited: bool,
    ended: bool,
    pub(super) moderation: Moderation,
    /// Serves the clients, where each request is placed by itself.
    pub(super) proxy: Option<Proxy>,
    pub(super) telling: Telling,
    pub(super) draining: Draining,
    told_blind: bool,
    /// Clients wait while no worker is up, as was told last.
    pub(super) starves: bool,
    /// How many connections have been accepted.
    pub(super) accepted: u64,
}

impl Turn {
    pub(crate) fn new(
        balance: balance::Settings,
        requests: Option<proxy::Settings>,
        registration: RegistrationEvents,
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
        let need = match balance.policy {
            _ if balance.max_connections.is_some() => Need::Choice,
            Policy::LeastConn => Need::Choice,
            Policy::NextAvailable => Need::Ties,
            Policy::RoundRobin | Policy::IpHash => Need::Figures,
        };
        let counts = Counts::new(epoll.clone(), Token::Ends.data().u64(), need);
        let last_id = random_start()?;
        let descriptors = descriptors_for_connections();
        let proxy = requests.map(|requests| -> io::Result<_> {
            let kind = Token::Proxy(0).data().u64();
            let mut proxy = Proxy::new(requests, epoll.clone(), kind, last_id);
            proxy.load_certificates().map_err(io::Error::other)?;
            Ok(proxy)
        });
        let proxy = proxy.transpose()?;
        Ok(Self {
            proxy,
            telling: Telling::default(),
            draining: Draining::default(),
            workers: Workers::new(epoll.clone(), counts, |id| Token::Channel(id).data().u64()),
            balance,
            registration,
            epoll,
            listeners: Listeners::default(),
            members: HashMap::new(),
            processes: HashMap::new(),
            ways_back: HashMap::new(),
            clusters: HashMap::new(),
            retired: HashSet::new(),
            notices,
            commands,
            wake,
            started: Instant::now(),
            last_id,
            descriptors,
            shares: Descriptors::default(),
            breather: None,
            reminded: None,
            closed: false,
            awaited: true,
            ended: false,
            moderation: Moderation::default(),
            told_blind: false,
            starves: false,
            accepted: 0,
        })
    }

    /// Runs until it is told to end.
    pub(crate) fn run(mut self) {
        let mut events = Vec::with_capacity(256);
        let mut bound = Bound::of_this_thread();
        while !self.ended {
            let timeout = self.timeout();
            events.clear();
            match epoll::wait(
                &*self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Ok(_) => bound.begin(self.now()),
                Err(Errno::INTR) => bound.rest(),
                // Only a bug could break the epoll itself; without it nothing can be done.
                Err(_) => return,
            }
            let now = self.now();
            self.workers.counts.now = now;
            if let Some(proxy) = &mut self.proxy {
                proxy.begin_turn(now);
                for event in &events {
                    if let Some(Token::Proxy(number)) = Token::of(event.data) {
                        proxy.note_event(number, event.flags);
                    }
                }
            }
            // Responses first: so it is known who is free when requests are placed.
            for responses in [true, false] {
                for event in &events {
                    if let Some(token) = Token::of(event.data)
                        && responses == token.is_response()
                    {
                        self.handle(token, event.flags);
                    }
                }
            }
            self.keep_time();
            self.keep_proxy();
            self.count_ends();
            self.look_at_draining();
            self.watch_for_starving();
            self.moderate();
        }
    }

    /// Lets the balancers know which connections have ended.
    fn count_ends(&mut self) {
        let waits = |listener: &Listener| listener.balancer.waits_for_an_end();
        let urgent = self.listeners.all.values().any(waits);
        for id in self.workers.counts.settle(urgent) {
            if let Some(member) = self.members.get(&id)
                && let Some(listener) = self.listeners.all.get_mut(&member.listener)
            {
                let now = nanos(self.started);
                listener.balancer.closed(now, id, &mut self.workers);
            }
        }
        if self.workers.counts.is_blind() && !self.told_blind {
            self.told_blind = true;
            self.tell(Notice::Uncounted);
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
                    if let Some(proxy) = &mut self.proxy {
                        proxy.turned(id, &mut self.workers);
                    }
                }
            }
            Token::Process(pid) => self.process_ended(pid),
            Token::Ends => self.workers.counts.hear(),
            Token::WayBack(id) => {
                self.take_given_back(id);
            }
            Token::Proxy(number) => {
                if let Some(proxy) = &mut self.proxy {
                    proxy.handle_event(number, flags, &mut self.workers);
                }
            }
            Token::Command => self.obey(),
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
        let counts = self.workers.counts.deadline();
        let counts = counts.map(|at| self.started + Duration::from_nanos(at));
        let next = balancers
            .chain(closing)
            .chain(self.breather)
            .chain(counts)
            .chain(self.proxy_deadline().map(|at| self.started + at))
            .min()?;
        Timespec::try_from(next.saturating_duration_since(now)).ok()
    }

    /// Does what time has brought.
    fn keep_time(&mut self) {
        let now = Instant::now();
        if self.breather.is_some_and(|at| at <= now) {
            self.breathe(now);
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
    pub(super) fn give_up(&mut self, id: ListenerId) {
        if self.closed {
            let figures = self.figures_at(id);
            self.listeners.ended.extend(figures);
        }
        self.listeners.all.remove(&id);
        self.clusters.retain(|_, listener| *listener != id);
        self.registration.tell(RegistrationEvent::Closed(id));
        let left: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.listener == id)
            .map(|(member, _)| *member)
            .collect();
        for member in left {
            self.hung_up(member);
        }
        if let Some(proxy) = &mut self.proxy {
            proxy.shut(id.0);
        }
    }

    /// Ends a listener whose owners are gone. One that a process still holds ends with that.
    fn close_unused(&mut self, address: &ListenAddress) {
        let Some(id) = self.listeners.at(address) else {
            return;
        };
        let mut members = self.members.values().filter(|it| it.listener == id);
        if members.clone().any(|member| member.joined) {
            return;
        }
        if members.next().is_none() {
            self.give_up(id);
        } else if let Some(listener) = self.listeners.all.get_mut(&id) {
            listener.unused = true;
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
        if let Some(port) = listener.address.port() {
            self.workers.counts.listen_for(port);
        }
        if let Some(proxy) = &mut self.proxy {
            let authority = listener.address.to_string();
            proxy.open(id.0, listener.sockaddr.as_bytes(), authority);
        }
        self.listeners.all.insert(id, listener);
        Ok(())
    }

    fn obey(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Close => self.close(),
                Command::Drain(drain) => self.drain(drain),
                Command::Expect(awaited) => self.expect_workers(awaited),
                Command::CloseUnused(address) => self.close_unused(&address),
                Command::Run(act) => act(self),
                // Whoever asked may have gone.
                Command::Figures(answer) => drop(answer.send(self.figures())),
                Command::End => self.ended = true,
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
        self.is_heard(notice);
    }

    /// The same; whether it hears.
    pub(super) fn is_heard(&self, notice: Notice) -> bool {
        self.notices.try_send(notice).is_ok()
    }
}

/// Identifiers are counted up from here. The names of channels are made of them, and all
/// supervisors share one namespace for such names.
fn random_start() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes) >> (64 - KIND + 1))
}

pub(super) fn nanos(since: Instant) -> Nanos {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
