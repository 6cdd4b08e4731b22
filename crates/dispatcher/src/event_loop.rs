//! The event loop: waits for what happens, and for time to pass, and has it seen to.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use balance::Nanos;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use sys::{LeftOpen, Memo};

use super::bound::Bound;
use super::clock::Clock;
use super::command::{Command, CommandQueue};
use super::context::Context;
use super::counts::Counts;
use super::descriptors::descriptors_for_connections;
use super::draining::{Drain, Draining};
use super::hand_over::{self, Leaving};
use super::listeners::Listeners;
use super::members::Members;
use super::notice::Notice;
use super::notices::Notices;
use super::placement::Placement;
use super::registration_events::RegistrationEvents;
use super::standstill::Standstills;
use super::starving::Starving;
use super::takeover::{self, Takeover};
use super::token::{KIND, Token};
use super::workers::Workers;
use super::{accept, endings, figures, given_back, heirs, membership};

/// How the dispatcher's thread begins.
pub(super) struct Beginning {
    /// How to choose, and how much may wait.
    pub(super) balance: balance::ConnectionSettings,
    /// How long a connection may be idle that its program has closed between two requests.
    pub(super) keep_alive: Option<Duration>,
    /// Each request is placed by itself, instead of each connection.
    pub(super) requests: Option<proxy::Settings>,
    pub(super) registration: RegistrationEvents,
    pub(super) notices: tokio::sync::mpsc::Sender<Notice>,
    pub(super) commands: CommandQueue,
    /// Where listeners and workers are noted.
    pub(super) memo: Option<Memo>,
    /// Whose clients this dispatcher goes on with.
    pub(super) predecessor: Option<OwnedFd>,
}

/// All that the dispatcher's thread owns.
#[derive(Debug)]
pub(super) struct EventLoop {
    epoll: Arc<OwnedFd>,
    commands: CommandQueue,
    cx: Context,
    starving: Starving,
    standstills: Standstills,
    /// Another process has all that is shared.
    leaving: Option<Leaving>,
    ended: bool,
}

impl EventLoop {
    pub(super) fn new(beginning: Beginning, left: &mut LeftOpen) -> io::Result<Self> {
        let Beginning {
            balance,
            keep_alive,
            requests,
            registration,
            notices,
            commands,
            memo,
            predecessor,
        } = beginning;
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let wake = Token::Command.data();
        epoll::add(&*epoll, commands.wake(), wake, epoll::EventFlags::IN)?;
        let clock = Clock::start();
        let first = random_start()?;
        let descriptors = descriptors_for_connections();
        let placement = match requests {
            Some(requests) => Placement::of_requests(requests, epoll.clone(), first)?,
            None => Placement::of_connections(balance, keep_alive, epoll.clone(), descriptors),
        };
        let counts = Counts::new(epoll.clone(), Token::Ends.data().u64(), placement.need());
        let channel = |id| Token::Channel(id).data().u64();
        let mut event_loop = Self {
            cx: Context {
                clock,
                notices: Notices::new(notices, clock),
                registration,
                listeners: Listeners::new(epoll.clone()),
                members: Members::new(epoll.clone(), first),
                workers: Workers::new(epoll.clone(), counts, channel),
                placement,
                draining: Draining::default(),
                takeover: Takeover::new(memo, predecessor.is_some()),
                descriptors,
            },
            epoll,
            commands,
            starving: Starving::default(),
            standstills: Standstills::default(),
            leaving: None,
            ended: false,
        };
        takeover::take_over(left, &mut event_loop.cx);
        takeover::note(&mut event_loop.cx);
        if let Some(predecessor) = predecessor {
            event_loop.cx.placement.follow(predecessor)?;
        }
        Ok(event_loop)
    }

    /// Runs until it is commanded to end.
    pub(super) fn run(mut self) {
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
                Ok(_) => bound.begin(self.cx.clock.now()),
                Err(Errno::INTR) => bound.rest(),
                // Only a bug could break the epoll itself; without it nothing can be done.
                Err(_) => return,
            }
            self.turn(&events);
            self.moderate();
        }
    }

    /// How long to wait: until the next thing that time brings.
    fn timeout(&self) -> Option<Timespec> {
        let cx = &self.cx;
        let until = |next: Nanos| {
            let left = next.saturating_sub(cx.clock.now());
            Timespec::try_from(Duration::from_nanos(left)).ok()
        };
        if let Some(leaving) = &self.leaving {
            return leaving.deadline(cx).and_then(until);
        }
        let deadlines = [
            cx.listeners.deadline(),
            cx.placement.deadline(),
            cx.workers.counts.deadline(),
            cx.draining.deadline(),
            self.standstills.deadline(),
        ];
        deadlines.into_iter().flatten().min().and_then(until)
    }

    /// Sees to all that has happened, and to what time has brought.
    fn turn(&mut self, events: &[epoll::Event]) {
        let now = self.cx.clock.now();
        self.cx.workers.counts.now = now;
        self.cx.placement.begin_turn(now, events);
        // Responses first: so it is known who is free when requests are placed.
        for responses in [true, false] {
            for event in events {
                if let Some(token) = Token::of(event.data)
                    && responses == token.is_response()
                {
                    self.handle(token, event.flags);
                }
            }
        }
        let cx = &mut self.cx;
        if let Some(leaving) = &mut self.leaving {
            leaving.end_turn(cx);
            return;
        }
        keep_time(cx);
        let (clock, notices) = (cx.clock, &mut cx.notices);
        cx.placement
            .end_turn(clock, &mut cx.workers, &cx.listeners, &cx.members, notices);
        let done = cx.draining.look(
            clock.now(),
            &cx.members,
            &mut cx.workers,
            &mut cx.placement,
            notices,
        );
        self.standstills.look(
            clock.now(),
            &cx.members,
            &mut cx.workers,
            &cx.placement,
            notices,
        );
        self.starving.watch(&cx.listeners, &cx.placement, notices);
        for group in done {
            // What another one gives back now is none for it.
            membership::set_well(group, false, cx);
        }
        takeover::note(cx);
    }

    fn handle(&mut self, token: Token, flags: epoll::EventFlags) {
        let cx = &mut self.cx;
        match token {
            Token::Proxy(_) | Token::Command => {}
            // Nothing of it is shared, and it would be told of again.
            Token::Ends => {}
            // It is the successor's.
            _ if self.leaving.is_some() => return,
            _ => {}
        }
        match token {
            Token::Listener(id) => {
                accept::accept(id, cx);
            }
            Token::Channel(id) => {
                if flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                    endings::hung_up(id, cx);
                } else if !heirs::rests(id, cx)
                    && let Some(listener) = cx.members.listener_of(id)
                {
                    let now = cx.clock.now();
                    cx.placement.turned(now, listener, id, &mut cx.workers);
                }
            }
            Token::Process(pid) => endings::process_ended(pid, cx),
            Token::Ends => cx.workers.counts.hear(),
            Token::WayBack(id) => {
                given_back::take(id, cx);
            }
            Token::Parked(number) => {
                cx.placement
                    .parked_event(number, flags, cx.clock, &mut cx.workers);
            }
            Token::Proxy(number) => cx.placement.proxy_event(number, flags, &mut cx.workers),
            Token::Command => self.obey(),
        }
    }

    fn obey(&mut self) {
        self.commands.heard();
        while let Some(command) = self.commands.next() {
            let cx = &mut self.cx;
            if self.leaving.is_some() && !command.is_heard_to_the_end() {
                continue;
            }
            match command {
                Command::HandOver {
                    successor,
                    limit,
                    answer,
                } => {
                    self.leaving = Some(hand_over::begin(successor, limit, cx));
                    self.standstills = Standstills::default();
                    // Who asked waits for it.
                    let _ = answer.send(());
                }
                Command::Close => accept::close_all(cx),
                Command::Drain(it) => drain(it, cx),
                Command::Expect(awaited) => {
                    if cx.listeners.expect_workers(awaited) {
                        cx.placement.reopen();
                    }
                }
                Command::Well { group, well } => membership::set_well(group, well, cx),
                Command::CloseUnused(address) => endings::close_unused(&address, cx),
                Command::Run(act) => act(cx),
                // What asked may have gone.
                Command::Figures(answer) => drop(answer.send(figures::of_all(cx))),
                Command::End => self.ended = true,
            }
        }
    }

    /// Pauses when connections come in floods.
    fn moderate(&mut self) {
        let now = self.cx.clock.now();
        let pause = self.cx.placement.pause(now);
        if let Some(pause) = pause.and_then(|pause| Timespec::try_from(pause).ok()) {
            // A signal may cut it short: that is no harm.
            let _ = rustix::thread::nanosleep(&pause);
        }
    }
}

/// Does what time has brought.
fn keep_time(cx: &mut Context) {
    let now: Nanos = cx.clock.now();
    cx.placement
        .tick(now, &mut cx.workers, &cx.listeners, &cx.notices);
    endings::give_up_overdue(now, cx);
    accept::resume(now, cx);
}

/// The workers of a process group drain.
fn drain(drain: Drain, cx: &mut Context) {
    if drain.for_good {
        // A worker that is served already can take what has come before.
        accept::close_all(cx);
    } else {
        membership::retire(drain.group, cx);
    }
    let members = cx.members.in_groups(&HashSet::from([drain.group]));
    for member in &members {
        cx.placement.forget_standing(*member);
    }
    cx.draining.begin(cx.clock.now(), drain, members);
}

/// Identifiers are counted up from here.
fn random_start() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes) >> (64 - KIND + 1))
}
