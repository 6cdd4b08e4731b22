//! Checks by a command, which runs as the instance does: with its user, in its folder and with its
//! environment. It is killed with its group when its time is over, and what it writes is read up to
//! a bound: one that floods its output waits, and is killed then.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use sys::ChildSetup;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::RunOf;
use crate::Supervisor;
use crate::span;
use config::signal_name;
use home::Exit;

/// So much of what it writes is read.
const MOST: u64 = 1 << 20;

/// So much of that is kept, for its last line.
const KEPT: usize = 4096;

/// So much of its last line is told.
const LINE: usize = 200;

/// After its end, or its death, what it has written is read for so long at most.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Commands that run, and who waits for their ends.
#[derive(Debug, Default)]
pub(crate) struct Commands(HashMap<i32, oneshot::Sender<Exit>>);

impl Commands {
    /// A child has ended; whether it was one of these.
    pub(crate) fn ended(&mut self, pid: Pid, status: Exit) -> bool {
        let waiting = self.0.remove(&pid.as_raw_nonzero().get());
        // Who waited may have gone.
        waiting.map(|waiting| waiting.send(status)).is_some()
    }
}

/// A command that runs.
#[derive(Debug)]
struct Running {
    pid: Pid,
    output: pipe::Receiver,
    end: oneshot::Receiver<Exit>,
}

impl Supervisor {
    pub(super) fn begin_command(&mut self, of: RunOf, words: &[OsString], time: Duration) {
        let started = self.start_command(of, words);
        self.checks.begin(of, async move {
            match started {
                Ok(running) => check(running, time).await,
                Err(reason) => Err(format!("its check could not be started: {reason}")),
            }
        });
    }

    fn start_command(&mut self, of: RunOf, words: &[OsString]) -> Result<Running, String> {
        let slot = self.instances.get(of.instance);
        let slot = slot.ok_or("the instance is gone")?;
        let mut processes = slot.processes.iter();
        let process = processes.find(|process| process.run == of.run);
        let app = &process.ok_or("the instance is gone")?.app;
        let env = self.folders.environment(app, of.instance, slot.id);
        let (program, arguments) = words.split_first().ok_or("it names no program")?;
        let mut command = std::process::Command::new(program);
        let (output, end) = io::pipe().map_err(|error| error.to_string())?;
        let errors = end.try_clone().map_err(|error| error.to_string())?;
        command
            .args(arguments)
            .current_dir(&app.cwd)
            .env_clear()
            .envs(&env)
            .stdin(Stdio::null())
            .stdout(end)
            .stderr(errors);
        sys::set_up_child(
            &mut command,
            ChildSetup {
                control_group: None,
                descriptors: self.spawner.descriptors(),
                own_group: true,
                identity: app.identity.as_ref().map(sys::Identity::from),
                tied_to: None,
            },
        );
        let spawned = command.spawn().map_err(|error| {
            let program = program.display();
            format!("executing {program}: {error}")
        });
        // With it goes our copy of the pipe's other end.
        drop(command);
        let pid = i32::try_from(spawned?.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or("it has no PID")?;
        let (ended, end) = oneshot::channel();
        self.checks
            .commands
            .0
            .insert(pid.as_raw_nonzero().get(), ended);
        let output = OwnedFd::from(output);
        let read = rustix::io::ioctl_fionbio(&output, true).map_err(io::Error::from);
        let output = read.and_then(|()| pipe::Receiver::from_owned_fd(output));
        match output {
            Ok(output) => Ok(Running { pid, output, end }),
            Err(error) => {
                let _ = kill_process_group(pid, Signal::KILL);
                Err(error.to_string())
            }
        }
    }
}

/// Waits for a command, and kills it when its time is over.
async fn check(running: Running, time: Duration) -> Result<(), String> {
    let Running { pid, output, end } = running;
    let deadline = Instant::now() + time;
    let (stop, stopped) = oneshot::channel::<()>();
    let words = tokio::spawn(last_words(output, stopped));
    let ended = timeout_at(deadline, end).await;
    // What it has left behind goes, too.
    let _ = kill_process_group(pid, Signal::KILL);
    drop(stop);
    let last = words.await.unwrap_or_default();
    let last = match last_line(&last) {
        line if line.is_empty() => String::new(),
        line => format!(": {line}"),
    };
    match ended {
        Ok(Ok(Exit::Code(0))) => Ok(()),
        Ok(Ok(Exit::Code(code))) => Err(format!("its check exits with code {code}{last}")),
        Ok(Ok(Exit::Signal(signal))) => {
            let signal = signal_name(signal);
            Err(format!("its check was killed by {signal}{last}"))
        }
        Ok(Err(_)) => Err("its check could not be waited for".to_owned()),
        Err(_) => {
            let time = span::set(time);
            Err(format!("its check has not ended within {time}{last}"))
        }
    }
}

/// Reads what a command writes, until it is stopped and nothing more comes; the end of that.
async fn last_words(
    mut output: impl AsyncRead + Unpin,
    mut stop: oneshot::Receiver<()>,
) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut left = MOST;
    let mut until = None;
    loop {
        let mut part = (&mut output).take(left.min(KEPT as u64));
        let mut read = Vec::new();
        let length = tokio::select! {
            biased;
            length = part.read_buf(&mut read), if left > 0 => length.unwrap_or(0),
            _ = &mut stop, if until.is_none() => {
                until = Some(Instant::now() + LAST_WORDS);
                continue;
            }
            () = expires(until) => 0,
        };
        if length == 0 {
            return kept;
        }
        left = left.saturating_sub(length as u64);
        kept.append(&mut read);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
}

async fn expires(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The last line with something in it.
fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let mut lines = text.lines().rev().map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(LINE).collect()
}
