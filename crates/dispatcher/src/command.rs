//! What the dispatcher is asked to do, between two events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};
use telemetry::figures::ListenerFigures;
use tokio::sync::oneshot;

use super::address::ListenAddress;
use super::context::Context;
use super::draining::Drain;

pub(super) enum Command {
    /// Accept no more.
    Close,
    /// Let these workers come to their end.
    Drain(Drain),
    /// Set whether the workers of a process group are well.
    Well { group: i32, well: bool },
    /// Close the listener at this address, if no worker comes to use it.
    CloseUnused(ListenAddress),
    /// Workers are awaited that may listen where no worker does now, or are not.
    Expect(bool),
    /// Leave all that is shared to a successor; say when that is done.
    HandOver {
        successor: OwnedFd,
        limit: Duration,
        answer: mpsc::SyncSender<()>,
    },
    /// Say what was counted.
    Figures(oneshot::Sender<Vec<ListenerFigures>>),
    /// Do this.
    Run(Box<dyn FnOnce(&mut Context) + Send>),
    /// Leave.
    End,
}

impl Command {
    /// Whether it has an effect when all that is shared belongs to a successor.
    pub(super) fn is_heard_to_the_end(&self) -> bool {
        matches!(self, Self::Figures(_) | Self::End)
    }
}

/// The dispatcher has ended.
#[derive(Debug)]
pub(super) struct Gone;

/// Where commands are given.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    sender: mpsc::Sender<Command>,
    wake: Arc<OwnedFd>,
}

/// Where the dispatcher finds them.
#[derive(Debug)]
pub(super) struct CommandQueue {
    commands: mpsc::Receiver<Command>,
    wake: Arc<OwnedFd>,
}

/// Both ends.
pub(super) fn line() -> io::Result<(Commands, CommandQueue)> {
    let (sender, commands) = mpsc::channel();
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let queue = CommandQueue {
        commands,
        wake: wake.clone(),
    };
    Ok((Commands { sender, wake }, queue))
}

impl Commands {
    /// Gives a command. If the dispatcher has ended there is nothing left to do.
    pub(super) fn give(&self, command: Command) -> Result<(), Gone> {
        self.sender.send(command).map_err(|_| Gone)?;
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        Ok(())
    }

    /// Runs this in the dispatcher's thread, and waits for the result: the dispatcher waits for
    /// nothing.
    pub(super) fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Context) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        // The channel is not the result's: a channel of its own for each kind of result would be a fifth of
        // this crate's code.
        let place = Arc::new(Mutex::new(None));
        let result = place.clone();
        let (done, is_done) = mpsc::sync_channel(1);
        let act = move |cx: &mut Context| {
            let outcome = act(cx);
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            let _ = done.send(());
        };
        self.give(Command::Run(Box::new(act)))?;
        is_done.recv().map_err(|_| Gone)?;
        let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
        result.take().ok_or(Gone)
    }
}

impl CommandQueue {
    /// Becomes readable when there is a command.
    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The wake-up has been heard.
    pub(super) fn heard(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
    }

    /// The next command, if there is one.
    pub(super) fn next(&self) -> Option<Command> {
        self.commands.try_recv().ok()
    }
}
