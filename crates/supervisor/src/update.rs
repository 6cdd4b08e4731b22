//! Making way for another version of maitred.
//!
//! The new program is asked first whether it understands what it would be handed ([`succession::TRY`]). Then
//! this supervisor stands still: it reads no logs, its dispatcher does nothing, and all is noted. It asks the
//! guard to become the new program, whose supervisor says that it goes on. If the program cannot be executed,
//! this one goes on instead. One that passed the trial, is executed and then fails ends the app with it, as a
//! guard that is killed does.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, getpid, getppid, kill_process};

use super::Supervisor;
use super::keeper::Lifeline;
use super::succession::{CAN_FOLLOW, Order, Question, Succession, TRY};
use super::takeover::Takeover;
use dispatcher::Paused;
use home::Exit;
use home::control::{Answer, Server};
use sys::Signalled;
use telemetry::events::Event;
use tokio::sync::mpsc;

/// A program that has not said within this time that it could follow cannot. It reads some files.
const TRIAL: Duration = Duration::from_secs(10);

/// One that has not gone on within this time does not. It starts a process that reads some files.
const TAKES: Duration = Duration::from_secs(10);

/// How often is looked whether the guard could not execute it.
const LOOK: Duration = Duration::from_millis(10);

/// So much of what a program says why it cannot follow is told.
const SAID: u64 = 4096;

/// An update that was asked for.
#[derive(Debug)]
pub(super) struct Update {
    program: PathBuf,
    answer: Answer,
    trial: Trial,
}

/// Another supervisor goes on, when this one has let go of everything.
#[derive(Debug)]
pub(super) struct Way {
    /// It hears of that by this socket.
    pub(super) next: OwnedFd,
    /// Over this it gets the clients of the proxy.
    pub(super) clients: Option<OwnedFd>,
    /// The dispatcher does nothing until this is dropped.
    pub(super) paused: Option<Paused>,
}

/// Whether the program can follow.
#[derive(Debug)]
enum Trial {
    /// It is not asked before all that was begun is done.
    Waits,
    Runs {
        pid: Pid,
        until: Duration,
        said: File,
    },
    Ended(Result<(), String>),
}

impl Takeover {
    /// Another version is to follow.
    pub(super) fn ask_for_update(&mut self, program: PathBuf, answer: Answer) {
        if self.lifeline.is_none() {
            return answer.fail("it runs in the foreground: stop it and run it again");
        }
        if self.update.is_some() {
            return answer.fail("another update of it is in progress");
        }
        self.update = Some(Update {
            program,
            answer,
            trial: Trial::Waits,
        });
    }

    /// When the trial is over at the latest.
    pub(super) fn update_check(&self) -> Option<Duration> {
        match self.update.as_ref()?.trial {
            Trial::Runs { until, .. } => Some(until),
            Trial::Waits | Trial::Ended(_) => None,
        }
    }

    /// Ends a trial that takes too long.
    pub(super) fn check_trial(&mut self, now: Duration) {
        let update = self.update.as_mut();
        if let Some(Trial::Runs { pid, until, .. }) = update.map(|update| &update.trial)
            && *until <= now
        {
            let _ = kill_process(*pid, Signal::KILL);
        }
    }

    /// Whether it was the trial that has ended.
    pub(super) fn trial_ended(&mut self, ended: Pid, exit: Exit) -> bool {
        let Some(update) = &mut self.update else {
            return false;
        };
        let Trial::Runs { pid, said, .. } = &mut update.trial else {
            return false;
        };
        if *pid != ended {
            return false;
        }
        let mut text = String::new();
        // What is no text says nothing. It has ended: what is to come has come.
        let _ = said.take(SAID).read_to_string(&mut text);
        update.trial = Trial::Ended(match exit {
            Exit::Code(0) if text == CAN_FOLLOW => Ok(()),
            _ => Err(why_not(&update.program, exit, text.trim())),
        });
        true
    }
}

impl Supervisor {
    /// Goes on with an update, if there is one and all else is done. Does not return when another version has
    /// taken over.
    pub(super) async fn go_on_with_update(
        &mut self,
        signals: &mut mpsc::Receiver<Signalled>,
        server: &mut Option<Server>,
    ) {
        if self.shutdown.has_begun()
            && let Some(update) = self.takeover.update.take()
        {
            return update.answer.fail("it is being ended");
        }
        if !self.is_calm() {
            return;
        }
        let Some(update) = self
            .takeover
            .update
            .take_if(|it| !matches!(it.trial, Trial::Runs { .. }))
        else {
            return;
        };
        let Update {
            program, answer, ..
        } = update;
        let done: anyhow::Result<()> = match update.trial {
            Trial::Ended(Ok(())) => match self.make_way(&program).await {
                Ok(way) => {
                    // Whoever has asked hears from the next supervisor what became of it.
                    drop(answer);
                    *server = None;
                    self.part(way, signals).await
                }
                Err(error) => Err(error),
            },
            Trial::Ended(Err(reason)) => Err(anyhow::Error::msg(reason)),
            _ => match self.begin_trial(&program) {
                Ok(trial) => {
                    self.takeover.update = Some(Update {
                        program,
                        answer,
                        trial,
                    });
                    return;
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = done {
            let reason = format!("{error:#}");
            self.event(Event::NotUpdated {
                reason: reason.clone(),
            });
            answer.fail(format!("not updated: {reason}"));
        }
    }

    /// Whether nothing is under way that would end with this supervisor.
    fn is_calm(&self) -> bool {
        !self.shutdown.is_ahead() && self.operations.all.is_empty() && self.instances.are_calm()
    }

    /// Asks the program whether it can follow.
    fn begin_trial(&mut self, program: &Path) -> anyhow::Result<Trial> {
        self.note();
        let (lifeline, claim) = match (&mut self.takeover.lifeline, &self.folders.claim) {
            (Some(lifeline), Some(claim)) => (lifeline, claim),
            _ => bail!("it has no guard"),
        };
        let text = |notes: io::Result<Vec<u8>>| {
            let notes = notes.context("reading its own notes")?;
            String::from_utf8(notes).context("reading its own notes")
        };
        let question = Question {
            succession: Succession::of_this_version(),
            notes: text(lifeline.notes.read())?,
            channels: text(lifeline.channels.read())?,
        };
        let mut input = File::from(memfd_create("maitred", MemfdFlags::CLOEXEC)?);
        input.write_all(&serde_json::to_vec(&question)?)?;
        input.rewind()?;
        let mut child = Command::new(program)
            .arg0("maitred")
            .arg("supervise")
            .arg(claim.folder().path())
            .arg(TRY)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("executing {}", program.display()))?;
        let said = child.stdout.take().map(OwnedFd::from);
        let said = said.context("making a pipe")?;
        // Something that it has left behind may hold the other end.
        rustix::io::ioctl_fionbio(&said, true)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Trial::Runs {
            pid: pid.context("starting it")?,
            until: self.now() + TRIAL,
            said: said.into(),
        })
    }

    /// Stands still, and lets the guard become the program. If that goes wrong all is as it was.
    async fn make_way(&mut self, program: &Path) -> anyhow::Result<Way> {
        let flags = SocketFlags::CLOEXEC;
        let kind = SocketType::SEQPACKET;
        let pair = || socketpair(AddressFamily::UNIX, kind, flags, None);
        let (ours, theirs) = pair()?;
        let clients = self.app.requests.as_ref().map(|_| pair()).transpose()?;
        self.reports.endpoint.close().await;
        self.takeover.begun = self.reports.output.pause();
        let paused = self.dispatch.dispatcher.as_ref().and_then(|it| it.pause());
        // What it had told before is noted, too.
        self.hear_notices();
        if let Some(paused) = &paused {
            self.dispatch.figures = paused.figures.clone();
        }
        self.keep_what_is_measured();
        self.write_record();
        self.takeover.unnoted = true;
        self.note();
        let order = Order {
            program: program.to_owned(),
            socket: theirs.as_raw_fd(),
            clients: clients.as_ref().map(|(_, theirs)| theirs.as_raw_fd()),
            supervisor: getpid().as_raw_nonzero().get(),
            failed: None,
        };
        let Err(error) = order_and_wait(self.takeover.lifeline.as_mut(), order, &ours) else {
            let clients = clients.map(|(ours, _)| ours);
            return Ok(Way {
                next: ours,
                clients,
                paused,
            });
        };
        drop(paused);
        self.reports.output.resume();
        self.reports.serve(self.app.metrics);
        self.takeover.unnoted = true;
        Err(error)
    }
}

/// Why a program cannot follow.
fn why_not(program: &Path, exit: Exit, said: &str) -> String {
    let program = program.display();
    match exit {
        _ if !said.is_empty() && said != CAN_FOLLOW.trim() => said.to_owned(),
        Exit::Signal(signal) if signal == Signal::KILL.as_raw() => {
            format!("{program} did not say within 10 s whether it can take over")
        }
        Exit::Signal(signal) => format!(
            "{program} was killed by {} when it was asked whether it can take over",
            config::signal_name(signal)
        ),
        Exit::Code(code) => format!(
            "{program} exited with code {code} when it was asked whether it can take over: it is not maitred, or a \
             version that cannot update apps"
        ),
    }
}

/// Gives the guard an order, and waits until the next supervisor says that it goes on.
fn order_and_wait(
    lifeline: Option<&mut Lifeline>,
    order: Order,
    ours: &OwnedFd,
) -> anyhow::Result<()> {
    let lifeline = lifeline.context("it has no guard")?;
    let guard = getppid().context("it has no guard")?;
    lifeline.orders.write(&serde_json::to_vec(&order)?)?;
    kill_process(guard, Signal::CONT).context("asking the guard")?;
    let until = Instant::now() + TAKES;
    let look = Timespec::try_from(LOOK)?;
    loop {
        let mut goes = [PollFd::new(ours, PollFlags::IN)];
        // A signal that interrupts this is seen to later.
        if poll(&mut goes, Some(&look)).is_ok_and(|ready| ready > 0) {
            return Ok(());
        }
        let said = lifeline.orders.read().ok();
        let said = said.and_then(|text| serde_json::from_slice::<Order>(&text).ok());
        if let Some(reason) = said.and_then(|order| order.failed) {
            lifeline.orders.write(b"")?;
            bail!(reason);
        }
        if getppid() != Some(guard) {
            bail!("its guard has ended");
        }
        if Instant::now() >= until {
            // If it comes to it still, it finds no order.
            lifeline.orders.write(b"")?;
            bail!("{} did not take over within 10 s", order.program.display());
        }
    }
}
