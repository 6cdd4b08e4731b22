//! Several apps in the foreground: a process for each, which is what `maitred run` is for one, and
//! this process over them. It starts each when what it depends on is there, passes signals on, and
//! ends when all of them have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use sys::Signalled;

use super::foreground::{COMMAND, Foreground, UP};
use super::order::Order;
use super::{Manner, service_manager, together};
use crate::apps::{Culprit, Known, OfApp};
use crate::dependencies::Schedule;

/// What this process hears.
enum News {
    Signal(Signalled),
    /// An app is up, or known not to come up.
    Up(usize, Result<(), String>),
    /// An app has completed, or will not.
    Completed(usize, Result<(), String>),
    /// A managed app is not waited for any more.
    Waited,
}

/// Those that run, and those whose turn is still to come.
struct Together<'a> {
    apps: Vec<Foreground>,
    order: &'a Order,
    schedule: Schedule,
    /// The numbers of those that run, by their pids.
    running: BTreeMap<i32, usize>,
    /// Those that are up, or have been.
    there: BTreeSet<usize>,
    /// Managed apps that others wait for.
    awaited: usize,
    /// A signal has asked to end: no other one is started.
    ends: bool,
    /// Those that run are asked to end, with this signal and in this order.
    ending: Option<(Signal, Schedule)>,
    highest: u8,
    news: Sender<News>,
    manner: &'a Manner,
}

/// Runs them until all have ended; the highest of their exit codes.
///
/// # Errors
/// If none of them can be started.
pub(super) fn run(apps: Vec<Foreground>, order: Order, manner: &Manner) -> anyhow::Result<u8> {
    let passed = service_manager::passed_sockets()?;
    if !passed.lent.is_empty() {
        bail!("sockets were passed (LISTEN_FDS) to several apps: run each in a unit of its own");
    }
    // Of which app they are is not known: each opens its own again.
    supervisor::give_up_stored(passed.stored);
    sys::block_signals().context("blocking signals")?;
    let (news, heard) = channel();
    let signals = news.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while let Ok(arrived) = sys::next_signal() {
                if signals.send(News::Signal(arrived)).is_err() {
                    return;
                }
            }
        })
        .context("starting the signals' thread")?;
    let mut together = Together {
        schedule: order.schedule(),
        order: &order,
        apps,
        running: BTreeMap::new(),
        there: BTreeSet::new(),
        awaited: 0,
        ends: false,
        ending: None,
        highest: 0,
        news,
        manner,
    };
    together.begin_who_can();
    if together.running.is_empty() && together.awaited == 0 {
        bail!("none of the apps could be started");
    }
    let watchdog = service_manager::watchdog();
    while !together.is_over() {
        match heard.recv_timeout(watchdog.unwrap_or(Duration::MAX)) {
            Ok(news) => {
                together.hear(news);
                together.begin_who_can();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if watchdog.is_some() {
            service_manager::lives();
        }
    }
    Ok(together.highest)
}

impl Together<'_> {
    fn is_over(&self) -> bool {
        self.running.is_empty() && (self.ends || self.awaited == 0)
    }

    /// Begins with those whose turn it is.
    fn begin_who_can(&mut self) {
        while !self.ends
            && let Some(number) = self.schedule.next()
        {
            if let Some(known) = self.order.other(number) {
                self.awaited += 1;
                let completes = self.schedule.awaits_completion(number);
                wait_for(known.clone(), number, completes, self.news.clone());
                continue;
            }
            let Some(foreground) = self.apps.get_mut(number) else {
                self.schedule.failed(number);
                continue;
            };
            foreground.beside_others = Some(std::process::id());
            match begin(foreground, number, self.news.clone()) {
                Ok(pid) => {
                    self.running.insert(pid.as_raw_nonzero().get(), number);
                }
                Err(error) => {
                    together::complain_of(&error.context(OfApp(foreground.app.name.clone())));
                    self.highest = 1;
                    self.has_failed(number, "could not be started".to_owned());
                }
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Signal(arrived) => self.signalled(arrived),
            // Its end may have been heard of first.
            News::Up(number, _) if !self.schedule.is_begun(number) => {}
            News::Up(number, Ok(())) => {
                self.schedule.started(number);
                self.is_there(number);
            }
            News::Completed(number, Ok(())) => {
                self.schedule.completed(number);
                self.is_there(number);
            }
            News::Up(number, Err(reason)) | News::Completed(number, Err(reason)) => {
                self.has_failed(number, reason);
            }
            News::Waited => self.awaited -= 1,
        }
    }

    /// One is up, or has completed; when all of them are, the service manager hears of it.
    fn is_there(&mut self, number: usize) {
        let is_last = self.there.insert(number)
            && (0..self.apps.len()).all(|number| self.there.contains(&number));
        if is_last && service_manager::waits() {
            service_manager::is_ready();
        }
    }

    fn signalled(&mut self, arrived: Signalled) {
        let ends = matches!(
            arrived.signal,
            Signal::INT | Signal::TERM | Signal::QUIT | Signal::HUP
        );
        let is_first = ends && !self.ends;
        self.ends |= ends;
        if ends {
            // Whoever asks a second time, or at a terminal, asks all of them.
            self.ending = None;
        }
        match arrived.signal {
            Signal::CHILD => self.reap(),
            // What the terminal sends has reached them too.
            _ if arrived.by_kernel => {}
            Signal::CONT | Signal::PIPE => {}
            signal if is_first => {
                self.ending = Some((signal, self.order.backward_schedule()));
                self.ask_who_can_end();
            }
            signal => {
                for pid in self.running.keys().copied().filter_map(Pid::from_raw) {
                    // If it has just ended, the next signal says so.
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }

    /// Asks those to end on which nobody depends that runs.
    fn ask_who_can_end(&mut self) {
        let Some((signal, schedule)) = &mut self.ending else {
            return;
        };
        while let Some(number) = schedule.next() {
            let running = self.running.iter().find(|(_, it)| **it == number);
            match running.and_then(|(pid, _)| Pid::from_raw(*pid)) {
                // As above.
                Some(pid) => drop(kill_process(pid, *signal)),
                None => schedule.completed(number),
            }
        }
    }

    /// Reaps whatever has ended, orphans too, as process 1 must.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let (code, reason) = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => (code, format!("has exited with code {code}")),
                (None, Some(signal)) => {
                    let name = config::signal_name(signal);
                    (128 + signal, format!("was killed by {name}"))
                }
                (None, None) => continue,
            };
            let Some(number) = self.running.remove(&pid.as_raw_nonzero().get()) else {
                continue;
            };
            self.highest = self.highest.max(u8::try_from(code).unwrap_or(u8::MAX));
            if code == 0 {
                self.schedule.completed(number);
                self.is_there(number);
            } else if !self.ends {
                self.has_failed(number, reason);
            }
            if let Some((_, schedule)) = &mut self.ending {
                schedule.completed(number);
                self.ask_who_can_end();
            }
            if !self.running.is_empty() {
                let name = self.apps.get(number).map_or("", |it| it.app.name.as_str());
                together::say(self.manner, &format!("{name} has ended; the others run on"));
            }
        }
    }

    /// Those that depend on this one are not started, which is said.
    fn has_failed(&mut self, number: usize, reason: String) {
        self.schedule.failed(number);
        let culprit = Culprit {
            number,
            reason,
            held: self.schedule.held_up_by(number),
        };
        let code = self.order.complain(&[culprit], "started");
        self.highest = self.highest.max(code);
    }
}

/// Starts a process for one of them. It ends with the thread that calls this.
fn begin(foreground: &Foreground, number: usize, news: Sender<News>) -> anyhow::Result<Pid> {
    let text = serde_json::to_vec(foreground)?;
    let program = std::env::current_exe().context("finding maitred's own file")?;
    let (mut ours, theirs) = UnixStream::pair().context("making a pair of sockets")?;
    let child = Command::new(program)
        .arg(COMMAND)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .context("starting a supervisor")?;
    // One that has ended already says why itself.
    let _ = ours.write_all(&text);
    let _ = ours.shutdown(Shutdown::Write);
    std::thread::Builder::new()
        .name("up".into())
        .spawn(move || {
            let mut said = Vec::new();
            let mut byte = [0];
            while !said.ends_with(b"\n") && matches!(ours.read(&mut byte), Ok(1)) {
                said.extend(byte);
            }
            if !said.is_empty() {
                let up = said == UP;
                let there = up.then_some(()).ok_or_else(|| "is not up".to_owned());
                let _ = news.send(News::Up(number, there));
            }
        })
        .context("starting a thread that waits for it")?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.context("the child has no pid")
}

/// Waits for a managed app.
fn wait_for(known: Known, number: usize, completes: bool, news: Sender<News>) {
    std::thread::spawn(move || {
        let there = known.wait_until_there();
        let is_there = there.is_ok();
        let _ = news.send(News::Up(number, there));
        if is_there && completes {
            let _ = news.send(News::Completed(number, known.wait_until_completed()));
        }
        let _ = news.send(News::Waited);
    });
}
