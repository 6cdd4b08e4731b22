//! One maitred under test: what it says, and that it leaves nothing behind.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, ExitStatus};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::events::{Event, Events};
use super::http::{Door, PATIENCE};
use super::output::Output;
use super::processes::{self, Process};

pub(crate) struct Run {
    pub(crate) port: u16,
    pub(crate) deadline: Instant,
    /// Goes when the run goes.
    pub(super) _folder: TempDir,
    pub(super) child: Child,
    pub(super) handle: OwnedFd,
    pub(super) events: Events,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    pub(super) keyboard: Option<OwnedFd>,
    pub(super) mark: String,
    pub(super) ended: Option<ExitStatus>,
}

impl Run {
    /// The process that the test started: maitred's guard.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child
            .stdin
            .take()
            .expect("started with a pipe as input")
    }

    /// Types on the terminal that maitred runs on.
    pub(crate) fn type_in(&self, keys: &[u8]) {
        let keyboard = self.keyboard.as_ref().expect("started on a terminal");
        assert_eq!(rustix::io::write(keyboard, keys).unwrap(), keys.len());
    }

    /// The app's port, on IPv4's own address.
    pub(crate) fn door(&self) -> Door {
        Door::Tcp(SocketAddr::from(([127, 0, 0, 1], self.port)))
    }

    /// Waits for an event, or finds it among those that came already.
    pub(crate) fn event(&mut self, what: &str, matches: impl Fn(&Event) -> bool) -> Event {
        self.event_from(0, what, matches)
    }

    /// Waits for an event that came after `earlier`.
    pub(crate) fn event_after(
        &mut self,
        earlier: &Event,
        what: &str,
        matches: impl Fn(&Event) -> bool,
    ) -> Event {
        self.event_from(earlier.index + 1, what, matches)
    }

    fn event_from(
        &mut self,
        mut next: usize,
        what: &str,
        matches: impl Fn(&Event) -> bool,
    ) -> Event {
        loop {
            // Asked before the events are read: what an ended maitred has written is all there is.
            let ended = self.has_ended();
            self.events.read();
            while let Some(event) = self.events.seen.get(next) {
                if matches(event) {
                    return event.clone();
                }
                next += 1;
            }
            if ended {
                panic!("maitred ended before {what}\n{}", self.story());
            }
            if self
                .events
                .wait(self.handle.as_fd(), self.deadline)
                .is_none()
            {
                panic!("timeout waiting for {what}\n{}", self.story());
            }
        }
    }

    /// All events until now.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.events.read();
        self.events.seen.clone()
    }

    /// The pid of the worker that was started last.
    pub(crate) fn newest_worker(&mut self) -> Pid {
        let events = self.events();
        let started = events.iter().rfind(|event| event.is("started"));
        Pid::from_raw(started.unwrap().pid()).unwrap()
    }

    /// For tests in which none should. One that crashes is replaced so soon that it might not
    /// show otherwise.
    pub(crate) fn no_worker_has_ended(&mut self) {
        let ended = self.events().iter().any(|event| event.is("exited"));
        assert!(!ended, "a worker has ended\n{}", self.story());
    }

    /// Waits until `members` processes listen on the app's port.
    pub(crate) fn listening(&mut self, members: u64) -> Event {
        let port = self.port;
        self.listening_on(&format!(":{port}"), members)
    }

    /// Waits until `members` processes listen on the address with this ending.
    pub(crate) fn listening_on(&mut self, address: &str, members: u64) -> Event {
        self.event(
            &format!("{members} processes listening on {address}"),
            |event| {
                event.is("listening")
                    && event.text("address").ends_with(address)
                    && event.number("members") == members
            },
        )
    }

    /// Waits until nothing of this run computes, or waits for a processor.
    pub(crate) fn comes_to_rest(&self) {
        let processes = self.processes();
        // Nothing tells when, so this has to look again and again.
        while !processes.iter().all(Process::is_at_rest) {
            let patient = Instant::now() < self.deadline;
            assert!(patient, "it does not come to rest\n{}", self.story());
            thread::yield_now();
        }
    }

    /// How many connections were taken back from workers that had not taken them, by the latest
    /// figures.
    pub(crate) fn moved(&mut self) -> u64 {
        let events = self.events();
        let last = events.iter().rfind(|event| event.is("figures"));
        last.map_or(0, |event| event.sum("taken_back"))
    }

    /// The same, by figures that are gathered after this call.
    pub(crate) fn moved_until_now(&mut self) -> u64 {
        let mut last = self.events().pop().expect("something has happened");
        // The first may have been gathered before, and written since.
        for _ in 0..2 {
            last = self.event_after(&last, "figures", |event| event.is("figures"));
        }
        last.sum("taken_back")
    }

    /// Waits until an instance has started, and gives its process.
    pub(crate) fn started(&mut self, instance: u64) -> Process {
        let event = self.event(&format!("start of instance {instance}"), |event| {
            event.is("started") && event.instance() == instance
        });
        match Process::find(event.pid()) {
            Some(process) => process,
            None => panic!("instance {instance} is gone already\n{}", self.story()),
        }
    }

    /// Waits until what maitred has printed on standard output satisfies `enough`.
    pub(crate) fn output(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        self.stdout.wait(self.deadline, enough).unwrap_or_else(|| {
            panic!(
                "timeout waiting for {what} on standard output\n{}",
                self.story()
            )
        })
    }

    /// The same for standard error.
    pub(crate) fn errors(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        self.stderr.wait(self.deadline, enough).unwrap_or_else(|| {
            panic!(
                "timeout waiting for {what} on standard error\n{}",
                self.story()
            )
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of maitred, and of all that it has printed.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        while !self.has_ended() {
            if self
                .events
                .wait(self.handle.as_fd(), self.deadline)
                .is_none()
            {
                panic!("timeout waiting for the end of maitred\n{}", self.story());
            }
        }
        let status = self.child.wait().unwrap();
        self.ended = Some(status);
        self.events.read();
        status
    }

    /// The exit code, for a maitred that ends by itself and not by a signal.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = self.wait();
        match status.code() {
            Some(code) => code,
            None => panic!("maitred ended by a signal: {status}\n{}", self.story()),
        }
    }

    /// All of standard output and of standard error, as bytes, after the end.
    pub(crate) fn everything_printed(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.wait();
        let whole = |output: &Output| {
            output.whole(self.deadline).unwrap_or_else(|| {
                panic!(
                    "maitred ended, but somebody still holds its output\n{}",
                    self.story()
                )
            })
        };
        (whole(&self.stdout), whole(&self.stderr))
    }

    /// The processes that descend from this run, known by an environment entry that only they
    /// have. What was started with a fresh environment has to be known otherwise.
    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::with_environment(&self.mark)
    }

    /// For messages: what happened so far.
    pub(crate) fn story(&self) -> String {
        let mut story = String::from("events:\n");
        for event in &self.events.seen {
            story += &format!("  {}\n", event.json);
        }
        for (name, output) in [
            ("standard output", &self.stdout),
            ("standard error", &self.stderr),
        ] {
            let text = output.so_far();
            let start = text
                .char_indices()
                .rev()
                .nth(4000)
                .map_or(0, |(index, _)| index);
            story += &format!("{name}:\n{}\n", &text[start..]);
        }
        story
    }

    fn has_ended(&mut self) -> bool {
        self.ended.is_some() || self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut fault = None;
        if !self.has_ended() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let deadline = Instant::now() + PATIENCE;
            while !self.has_ended() {
                if self.events.wait(self.handle.as_fd(), deadline).is_none() {
                    fault = Some("maitred did not stop at SIGTERM".to_owned());
                    break;
                }
            }
        }
        let left = processes::gone_within(PATIENCE, &self.processes());
        for process in &left {
            let _ = kill_process(Pid::from_raw(process.pid).unwrap(), Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !left.is_empty() && fault.is_none() {
            fault = Some(format!("left behind: {left:#?}"));
        }
        if let Some(fault) = fault
            && !thread::panicking()
        {
            panic!("{fault}\n{}", self.story());
        }
    }
}
