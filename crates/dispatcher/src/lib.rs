//! The dispatcher: it owns the app's listening sockets, and hands each connection to a worker.
//!
//! One thread, one epoll. Workers ask for their listeners at the registration socket, which has a
//! thread of its own, and become members of a listener. The event loop accepts, has what came
//! placed, and sends. It knows of processes only that they live or have ended. What the rest of the
//! supervisor should know, it says in [`Notice`]s, and never waits for it.
//!
//! | module | what it holds |
//! |---|---|
//! | `event_loop`, `command` | the loop, and what it is asked to do |
//! | `context` | the parts that the loop works with: the next six rows |
//! | `listeners` | the sockets at which clients connect |
//! | `members` | which processes hold which channels |
//! | `workers`, `channel` | the channels, and what they and the kernel tell of workers |
//! | `placement` | what accepted connections become: `connections` or `requests` |
//! | `check` | connections of health checks |
//! | `draining` | workers that come to their end |
//! | `notices` | the way to the supervisor |
//! | `accept` | accepting, and when not to |
//! | `adopted` | listening sockets from outside |
//! | `takeover` | listeners and workers of a supervisor that was killed |
//! | `membership`, `endings` | how workers join and leave; what becomes of listeners without them |
//! | `hand_over` | leaving listeners and workers to another process, which goes on with them |
//! | `heirs` | processes that accept from what another one has opened |
//! | `given_back` | taking the connections that draining workers give back |
//! | `registration`, `registered` | the thread that workers ask, and what it has the loop do |
//! | `counts`, `ledger`, `sock_diag`, `reading` | which connections are open, and read from |
//! | `loop_probe`, `standstill` | whether a worker's loop waits, and which ones stand still |
//!
//! Arrows lead from the loop to what is done (`accept`, `membership`, `endings`, `registered`), from
//! there to the parts, and from those to names and the kernel.

#![forbid(unsafe_code)]

mod accept;
mod address;
mod adopted;
mod bound;
mod channel;
mod check;
mod clock;
mod command;
mod connection;
mod context;
mod counts;
mod datagrams;
mod descriptors;
mod draining;
mod endings;
mod endpoint;
mod event_loop;
mod figures;
mod given_back;
mod hand_over;
mod heirs;
mod ids;
mod ledger;
mod linger;
mod listeners;
mod loop_probe;
mod members;
mod membership;
mod moderation;
mod notice;
mod notices;
mod pidfd;
mod placement;
mod reading;
mod registered;
mod registration;
mod registration_events;
mod sock_diag;
mod standstill;
mod starving;
mod takeover;
mod token;
mod workers;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use address::ListenAddress;
pub use check::{CheckConnection, Checks};
pub use descriptors::LEAST as LEAST_RESERVE;
pub use draining::Drain;
pub use listeners::HeldBy;
pub use notice::Notice;
pub use registration::Settings as RegistrationSettings;
use sys::{LeftOpen, Memo};
pub use takeover::can_take_over;
use telemetry::figures::ListenerFigures;
use tokio::sync::oneshot;

use command::{Command, Commands};
use event_loop::{Beginning, EventLoop};

/// What a dispatcher is to do.
#[derive(Debug)]
pub struct Settings {
    /// How to choose, and how much may wait.
    pub balance: balance::ConnectionSettings,
    /// How long a connection may be idle that its program has closed between two requests; `None`: it is
    /// closed.
    pub keep_alive: Option<Duration>,
    /// Each request is placed by itself, instead of each connection.
    pub requests: Option<proxy::Settings>,
    /// What workers ask, and what they may have.
    pub registration: RegistrationSettings,
    /// Where listeners and workers are noted, for a supervisor that takes them over.
    pub memo: Option<Memo>,
    /// The dispatcher that this one replaces sends its clients over this socket ([`Dispatcher::hand_over`]).
    /// None where there is none, or it was killed.
    pub predecessor: Option<OwnedFd>,
}

/// A dispatcher that does nothing.
#[derive(Debug)]
pub struct Paused {
    /// What was counted until then, for each listener.
    pub figures: Vec<ListenerFigures>,
    /// Its end is what the thread waits for.
    _until: mpsc::Sender<()>,
}

/// The dispatcher's thread, from outside.
#[derive(Debug)]
pub struct Dispatcher {
    commands: Commands,
    thread: Option<JoinHandle<()>>,
    registration: registration::Thread,
}

impl Dispatcher {
    /// Starts the thread. It takes over those noted listeners and workers whose descriptors are in `left`.
    /// Notices that do not fit into the channel are dropped.
    ///
    /// # Errors
    /// If the kernel grants no epoll, eventfd or thread.
    pub fn start(
        settings: Settings,
        notices: tokio::sync::mpsc::Sender<Notice>,
        left: &mut LeftOpen,
    ) -> io::Result<Self> {
        let (commands, queue) = command::line()?;
        let (registration, registering) =
            registration::start(settings.registration, commands.clone(), notices.clone())?;
        let beginning = Beginning {
            balance: settings.balance,
            keep_alive: settings.keep_alive,
            requests: settings.requests,
            registration,
            notices,
            commands: queue,
            memo: settings.memo,
            predecessor: settings.predecessor,
        };
        let event_loop = EventLoop::new(beginning, left)?;
        let thread = std::thread::Builder::new()
            .name("dispatcher".into())
            .spawn(move || event_loop.run())?;
        Ok(Self {
            commands,
            thread: Some(thread),
            registration: registering,
        })
    }

    /// Makes listeners of TCP sockets that listen already, and returns their addresses. Other sockets are closed.
    pub fn adopt(&self, sockets: Vec<OwnedFd>, held_by: HeldBy) -> Vec<ListenAddress> {
        let adopt = move |cx: &mut context::Context| {
            let sockets = sockets.into_iter();
            sockets
                .filter_map(|it| adopted::adopt(it, held_by, cx))
                .collect()
        };
        // If the thread has ended there is nothing left to adopt them.
        self.commands.run(adopt).unwrap_or_default()
    }

    /// A copy of the socket of the listener at this address, for somebody who keeps it while the app does not run.
    /// `None` if it is of no use there: it is kept already, its port was chosen by the kernel, or it is no TCP
    /// socket. Once it is kept, [`Self::mark_stored`] is to be called.
    pub fn to_store(&self, address: &ListenAddress) -> Option<OwnedFd> {
        let address = address.clone();
        let copy = self.commands.run(move |cx| adopted::to_store(&address, cx));
        copy.ok().flatten()
    }

    /// Notes that somebody keeps the socket of the listener at this address: it is shut down when the listener ends,
    /// and not when the app stops.
    pub fn mark_stored(&self, address: &ListenAddress) {
        let address = address.clone();
        // If the thread has ended there is nothing left to shut down.
        let _ = self
            .commands
            .run(move |cx| adopted::mark_stored(&address, cx));
    }

    /// Does nothing more until what this returns is dropped: all is noted for another supervisor, and stays so.
    /// `None` if the thread has ended.
    pub fn pause(&self) -> Option<Paused> {
        let (paused, is_paused) = mpsc::sync_channel(1);
        let (until, resumes) = mpsc::channel();
        let pause = move |cx: &mut context::Context| {
            takeover::note_all(cx);
            let _ = paused.send(figures::of_all(cx));
            // It ends when the other end is dropped.
            let _ = resumes.recv();
        };
        self.say(Command::Run(Box::new(pause)));
        let figures = is_paused.recv().ok()?;
        Some(Paused {
            figures,
            _until: until,
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

    /// Sets whether the workers of a process group are well, also those that listen later. An unwell worker
    /// gets nothing new while another one at the same address is well.
    pub fn set_well(&self, group: i32, well: bool) {
        self.say(Command::Well { group, well });
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

    /// Whether a worker may be waiting for the registration thread's answer. A worker that sleeps for
    /// that reason has not finished its start.
    pub fn answers(&self) -> bool {
        self.registration.works()
    }

    /// Leaves listeners and workers to a successor in another process, which has them by the notes in the memo
    /// and takes over at [`Self::start`]. When this returns, this dispatcher has closed its copies of all that
    /// the successor uses, and touches nothing of it any more: no channel, no path, no note. So it is called
    /// when the two tables of descriptors are separate, and before the successor starts. One that is `paused`
    /// does nothing else between the pause and this.
    ///
    /// Where requests are placed, clients go to the successor over `successor`, one end of a pair of Unix
    /// SEQPACKET sockets; the successor has the other end as [`Settings::predecessor`]. Those that cannot move
    /// are served here until they are done, or `limit` has passed. Then [`Notice::HandedOver`] follows, and
    /// nothing is left to do but to drop this dispatcher. Other commands have no effect any more. What waits in the
    /// central queue, where connections are placed, is closed.
    pub fn hand_over(&self, paused: Option<Paused>, successor: OwnedFd, limit: Duration) {
        let (answer, done) = mpsc::sync_channel(1);
        self.say(Command::HandOver {
            successor,
            limit,
            answer,
        });
        // This is the next thing that it is asked.
        drop(paused);
        // If the thread has ended there is nothing left to hand over.
        let _ = done.recv();
        // What was registered is noted. What a worker asks from now on the successor hears.
        self.registration.wait();
    }

    /// The way for health checks.
    pub fn checks(&self) -> Checks {
        Checks::new(self.commands.clone())
    }

    /// What was counted so far, for each listener.
    pub async fn figures(&self) -> Vec<ListenerFigures> {
        let (answer, figures) = oneshot::channel();
        self.say(Command::Figures(answer));
        figures.await.unwrap_or_default()
    }

    fn say(&self, command: Command) {
        // If the thread has ended there is nothing left to say it to.
        let _ = self.commands.give(command);
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.say(Command::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.registration.wait();
    }
}
