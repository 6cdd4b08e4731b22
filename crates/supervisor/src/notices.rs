//! What the dispatcher tells, and what it does not tell in time.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use super::Supervisor;
use super::instance;
use super::silence::{self, Verdict};
use config::{self, App};
use dispatcher::Notice;
use process::sockets::{Entry, Holder};
use telemetry::events::Event;
use telemetry::ids::Instance;

impl Supervisor {
    /// Hears what the dispatcher has told until now.
    pub(super) fn hear_notices(&mut self) {
        for _ in 0..self.dispatch.notices.len() {
            if let Ok(notice) = self.dispatch.notices.try_recv() {
                self.noticed(notice);
            }
        }
    }

    pub(super) fn noticed(&mut self, notice: Notice) {
        match notice {
            Notice::Event(event) => self.event(event),
            Notice::Loaded { pid } => self.instances.has_loaded(pid),
            Notice::Drained { group } => self.is_drained(group),
            Notice::Starving(starves) => self.dispatch.starving.set(starves),
            Notice::Blocked {
                member,
                pid,
                instance,
                lasts,
            } => self.is_blocked(member, (pid, instance), lasts),
            Notice::Unblocked { member, turned } => self.is_blocked_no_more(member, turned),
            Notice::ListensNatively { inode } => self.dispatch.native.add(inode),
            Notice::Listening {
                member,
                pid,
                instance,
                address,
                chosen,
                members,
            } => {
                self.event(Event::Listening {
                    instance,
                    pid,
                    address: address.to_string(),
                    members,
                });
                self.listens((pid, instance), member, (&address, chosen), members);
                self.dispatch.store(&address);
            }
            Notice::Left {
                member,
                pid,
                instance,
                address,
                members,
                cut,
            } => {
                self.event(Event::Left {
                    instance,
                    pid,
                    address: address.to_string(),
                    members,
                    cut: cut.iter().map(ToString::to_string).collect(),
                });
                self.listens_no_more(member, &address, members);
            }
            Notice::Foreign { address, what } => {
                self.dispatch.listeners.is_foreign(&address, what);
                self.event(Event::Foreign {
                    address: address.to_string(),
                    what,
                });
            }
            Notice::InUse {
                instance,
                address,
                by,
            } => self.is_in_use(instance, address, by),
            // Who has made way waits for it, and for nothing else (`part`).
            Notice::HandedOver => {}
        }
    }

    /// Another process has the address that an instance wants.
    fn is_in_use(&mut self, instance: Instance, address: String, by: Option<Holder>) {
        self.event(Event::InUse {
            instance,
            address,
            of_app: by
                .as_ref()
                .and_then(|holder| self.folders.other_app_of(holder)),
            by: by.map(|holder| holder.to_string()),
        });
    }

    /// A program that no library can give its sockets is told of before it runs.
    pub(super) fn look_at_program(&mut self, instance: Instance, app: &App) {
        let shares = self.dispatch.shares();
        let reason = shares
            .then(|| config::takes_no_library(app.program()))
            .flatten()
            .map(|why| format!("{} {why}", app.program().display()));
        if let Some(slot) = self.instances.slot(instance) {
            slot.not_preloaded.clone_from(&reason);
        }
        if let Some(reason) = reason {
            self.event(Event::NotPreloaded {
                instance,
                pid: 0,
                reason,
            });
        }
    }

    /// Looks at those that should have been heard of.
    pub(super) fn look_at_processes(&mut self, now: Duration) {
        let library = self.spawner.library();
        for event in self.instances.look_at_libraries(library, now) {
            self.event(event);
        }
        self.look_at_silent(now);
    }

    /// Looks at those that have not listened yet, as far as is known.
    fn look_at_silent(&mut self, now: Duration) {
        if !self.instances.silence_is_due(now) {
            return;
        }
        // The library asks before a process listens, so the notice of each socket that listens now is on
        // its way already. Read the other way round, a socket could listen before its notice is heard.
        let listening = silence::listeners();
        self.hear_notices();
        let library = self.spawner.library();
        let private = &self.app.private_ports;
        let is_known =
            |entry: &Entry| self.dispatch.knows(entry) || private.contains(&entry.local.port());
        let unknown: Vec<Entry> = listening.into_iter().filter(|it| !is_known(it)).collect();
        let mut unfit = Vec::new();
        for slot in &mut self.instances.slots {
            for process in &mut slot.processes {
                let (instance, pid) = (slot.instance, process.pid);
                let Some(silence) = process.silence.as_mut().filter(|it| it.at <= now) else {
                    continue;
                };
                let tree = silence::tree(pid);
                let wanted = silence::wanted(&tree);
                let verdict = silence.look(wanted, silence::is_active(&tree), now);
                if let Some(unseen) = silence::unseen_listener(&tree, library, &unknown) {
                    process.silence = None;
                    let reason = unseen.reason;
                    slot.not_preloaded = Some(reason.clone());
                    let wanted = self.app.needs_library().filter(|_| unseen.is_sure);
                    match wanted {
                        Some(wanted) => unfit.push((instance, process.run, wanted, reason)),
                        None => {
                            let event = Event::NotPreloaded {
                                instance,
                                pid,
                                reason,
                            };
                            self.reports.event(event, &self.operations);
                        }
                    }
                } else if verdict == Verdict::Idle {
                    process.silence = None;
                    if !self.app.pass_through && !silence::has_datagrams(&tree) {
                        let event = Event::Silent { instance, pid };
                        self.reports.event(event, &self.operations);
                    }
                }
            }
        }
        for (instance, run, wanted, reason) in unfit {
            self.event(Event::Unfit {
                instance,
                wanted: wanted.to_owned(),
                reason,
            });
            self.step(instance, instance::Event::Unfit { run });
        }
    }

    /// Closes the listeners that nobody wants any more.
    pub(super) fn close_unclaimed(&mut self) {
        let now = self.now();
        self.dispatch.close_unclaimed(&self.instances, now);
    }

    /// The workers of a process group have nothing to do any more.
    pub(super) fn drained(&mut self, group: i32) {
        if let Some((instance, run)) = self.instances.run_with(group) {
            self.step(instance, instance::Event::Drained { run });
        }
    }
}

/// Whether a process has a file in its memory. What its library has to say may still be on its way.
pub(super) fn has_mapped(pid: i32, file: &Path) -> bool {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    let file = file.as_os_str().as_bytes();
    maps.split(|byte| *byte == b'\n')
        .any(|line| line.ends_with(file))
}
