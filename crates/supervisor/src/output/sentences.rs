//! Events as sentences: what happened, why, and what comes next.

use std::collections::BTreeSet;

use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::super::span;
use config::App;
use renewals::{renewing, still_runs};
use telemetry::events::Event;
use telemetry::figures::Foreign;
use telemetry::ids::Instance;

mod addresses;
mod blocked;
mod exits;
mod health;
mod plain;
mod renewals;
mod successions;

const MB: u64 = 1024 * 1024;

/// Colours for the names of instances, in turn.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];

/// What stands before each line of an instance.
pub(super) fn prefix(name: &str, instance: Instance, colours: bool) -> String {
    if !colours {
        return format!("{name}-{instance} | ");
    }
    let colour = COLOURS
        .get(instance.0 as usize % COLOURS.len())
        .copied()
        .unwrap_or(AnsiColor::Cyan);
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{name}-{instance} |{style:#} ")
}

/// Turns events into sentences.
#[derive(Debug)]
pub struct Sentences {
    name: String,
    instances: usize,
    /// Only what is a problem is told.
    quiet: bool,
    colours: bool,
    /// Addresses at which all instances have been seen to listen.
    complete: BTreeSet<String>,
    /// Addresses that somebody else has, and who: each is told once, not for every instance and
    /// every attempt.
    in_use: BTreeSet<(String, String)>,
    /// Listeners where something else than HTTP is spoken: each is told of once.
    foreign: BTreeSet<(String, Foreign)>,
    /// Instances whose program is known to take no library.
    not_preloaded: bool,
    blind: bool,
    /// An unhandled rejection has been told of.
    rejection: bool,
    /// Instances whose newest process could not be started: it has no exit to tell of.
    not_started: BTreeSet<Instance>,
    /// Blocked processes that have been told of.
    blocked: BTreeSet<i32>,
    /// How long a connection may wait for a worker, in milliseconds.
    queue_timeout: Duration,
}

impl Sentences {
    pub fn new(app: &App, colours: bool) -> Self {
        Self {
            name: app.name.clone(),
            instances: app.instances as usize,
            quiet: app.pass_through,
            colours,
            complete: BTreeSet::new(),
            in_use: BTreeSet::new(),
            foreign: BTreeSet::new(),
            not_preloaded: false,
            blind: false,
            rejection: false,
            not_started: BTreeSet::new(),
            blocked: BTreeSet::new(),
            queue_timeout: app.balance.patience,
        }
    }

    /// The app is described so from now on.
    pub(crate) fn set_app(&mut self, app: &App) {
        let instances = app.instances as usize;
        if instances != self.instances {
            // Others have to listen before all do.
            self.complete.clear();
        }
        self.instances = instances;
        self.queue_timeout = app.balance.patience;
    }

    /// The sentence for an event, with a line end, if it is worth one.
    pub fn of(&mut self, event: &Event) -> Option<String> {
        let text = self.text(event)?;
        let style = Style::new().dimmed();
        let prefix = if self.colours {
            format!("{style}maitred:{style:#} ")
        } else {
            "maitred: ".to_owned()
        };
        let lines = text.lines().map(|line| format!("{prefix}{line}\n"));
        Some(lines.collect())
    }

    fn text(&mut self, event: &Event) -> Option<String> {
        let name = self.name.clone();
        match event {
            Event::Started { .. } | Event::Left { .. } => None,
            Event::StartFailed { instance, reason } => {
                self.not_started.insert(*instance);
                Some(format!("{name}-{instance} could not be started: {reason}"))
            }
            Event::Listening {
                address, members, ..
            } => self.listening(address, *members),
            Event::Exited {
                instance,
                code,
                signal,
                out_of_memory,
                uptime,
                next,
                ..
            } => self.exited(*instance, (*code, *signal, *out_of_memory), *uptime, next),
            Event::NotPreloaded { reason, .. } => {
                if std::mem::replace(&mut self.not_preloaded, true) {
                    return None;
                }
                let mut text = format!(
                    "connections to {name} are not balanced: {reason}, so maitred cannot \
                     give it its listening sockets"
                );
                if self.instances > 1 {
                    text.push_str(
                        ". Give each instance a port of its own; NODE_APP_INSTANCE holds its number",
                    );
                }
                Some(text)
            }
            Event::Unfit {
                instance,
                wanted,
                reason,
            } => Some(format!(
                "{name}-{instance} is stopped: {wanted} does not work with it: {reason}, so \
                 maitred cannot give it its listening sockets"
            )),
            Event::Silent { instance, .. } => (!self.quiet).then(|| {
                format!(
                    "{name}-{instance} is idle and listens on no address that maitred can share: it \
                     gets no connections from maitred. For a job without a port that is right; a \
                     server may say in its output why"
                )
            }),
            Event::InUse {
                instance,
                address,
                by,
                of_app,
            } => {
                let new = self.is_new(address, by.as_deref().unwrap_or_default());
                let which = format!("{name}-{instance}");
                new.then(|| addresses::in_use(&which, address, by.as_deref(), of_app.as_deref()))
            }
            Event::PassedElsewhere {
                instance,
                address,
                passed,
            } => {
                let which = format!("{name}-{instance}");
                let new = self.is_new(address, passed);
                new.then(|| addresses::passed_elsewhere(&which, address, passed))
            }
            Event::DatagramsShared { address, .. } => {
                let first = self.complete.insert(address.clone()) && !self.quiet;
                first.then(|| format!("the instances of {name} share {address}"))
            }
            Event::DatagramsNotShared { instance, address } => Some(format!(
                "{name}-{instance} cannot listen on {address}: another instance has it, and the \
                 kernel refuses maitred a copy of its socket (pidfd_getfd; as it does for another \
                 user's process, or in a strict container). Give each instance a port of its own; \
                 NODE_APP_INSTANCE holds its number"
            )),
            Event::PrivilegedPort {
                instance,
                address,
                port,
            } => Some(format!(
                "{name}-{instance} cannot listen on {address}: permission denied. If its user may \
                 not use this port, add it to privileged_ports (--privileged-port {port}), or choose \
                 another"
            )),
            Event::Stranger { pid, uid } => Some(format!(
                "refused process {pid} of user {uid}, which asked for connections of \
                 {name}: it does not descend from a process of this app"
            )),
            Event::TooMuch { pid } => Some(format!(
                "refused process {pid} of {name} another listener: the process has too \
                 many, or maitred's limit for open files (ulimit -n) is too low"
            )),
            Event::Blind { .. } => {
                if std::mem::replace(&mut self.blind, true) {
                    return None;
                }
                Some(format!(
                    "cannot see whether the workers of {name} are busy: the kernel does not \
                     show their state (as for another user's process, or in a strict \
                     container). Going by the connections that they have taken"
                ))
            }
            Event::Uncounted => Some(format!(
                "cannot count the open connections of {name}: the kernel does not list \
                 them (sock_diag). least_conn falls back to round_robin, and max_connections is \
                 not enforced"
            )),
            Event::OutOfDescriptors {
                limit,
                reason: None,
            } => Some(format!(
                "few of {limit} file descriptors are left (ulimit -n): new connections and workers \
                 that start wait until some are closed"
            )),
            Event::OutOfDescriptors {
                reason: Some(reason),
                ..
            } => Some(format!(
                "cannot accept connections to {name}: {reason}. New ones wait in the kernel"
            )),
            Event::FewDescriptors {
                limit,
                needed,
                instances,
            } => Some(format!(
                "at most {limit} files may be open (ulimit -n): with {instances} instances of {name} \
                 that is enough for few clients at a time, and others wait. Raise the limit to \
                 {needed} or more"
            )),
            Event::Crowded { limit } => Some(format!(
                "{limit} clients are connected, as many as the limit for open files (ulimit -n) \
                 allows: new ones wait in the kernel until some leave"
            )),
            Event::TurnedAway { address, limit } => super::crowd::turned_away(*address, *limit),
            Event::Refused { address, total } => Some(format!(
                "closed connections to {address} that waited {} for a worker \
                 (queue_timeout): {total} so far",
                span::set(self.queue_timeout)
            )),
            Event::Hurrying => Some(format!(
                "clients wait and no worker of {name} is up: trying to start one each second"
            )),
            Event::Renewing { trigger } => Some(renewing(&name, trigger)),
            Event::StillRuns { instance, waits } => Some(still_runs(&name, *instance, *waits)),
            Event::NoTrigger { trigger, reason } => {
                Some(format!("{name} is not restarted by {trigger}: {reason}"))
            }
            Event::LogFailing { path, reason } => Some(format!(
                "lines of {name} cannot be written to {path}, and are dropped: {reason}"
            )),
            Event::LogLost { path, lines, bytes } => Some(format!(
                "{path} can be written to again; {lines} lines ({bytes} bytes) of {name} are lost"
            )),
            Event::LogOverrun { path, lines } => Some(format!(
                "dropped {lines} lines for {path}: they came faster than they could be written"
            )),
            Event::LogNotRotated { path, reason } => Some(format!(
                "cannot rotate {path}, which grows on: {reason}"
            )),
            Event::PidFileFailing { path, reason } => {
                Some(format!(
                    "cannot write or remove pid_file {path} of {name}: {reason}"
                ))
            }
            Event::Rejection { instance } => {
                if std::mem::replace(&mut self.rejection, true) {
                    return None;
                }
                Some(format!(
                    "{name}-{instance} crashed on an unhandled promise rejection, as Node does by \
                     default; pm2 keeps such an app running. Handle the rejection, or set \
                     node_args to --unhandled-rejections=warn"
                ))
            }
            Event::Deaf { instance, reason } => Some(format!(
                "cannot read the output of {name}-{instance}: {reason}"
            )),
            Event::MetricsFailing { address, reason } => Some(format!(
                "cannot serve the metrics of {name} at {address}: {reason}. maitred tries again each \
                 second; if another program keeps the address, choose another with --metrics"
            )),
            Event::NotKept { reason } => Some(format!(
                "cannot save the state of {name}, which is lost when this supervisor ends: {reason}"
            )),
            Event::Figures { listeners } => Some(super::figures::table(&name, listeners)),
            Event::Foreign { address, what } => {
                let new = self.foreign.insert((address.clone(), *what));
                new.then(|| format!("{name} on {address}: {}", what.text()))
            }
            Event::Certificate { reason } => Some(format!(
                "cannot use the changed certificate; keeping the previous one: {reason}"
            )),
            Event::RequestFailed {
                id,
                instance,
                status,
                reason,
                cut,
                unsaid,
                ..
            } => {
                let with = instance.map_or(String::new(), |it| format!(" with {name}-{it}"));
                let told = if *cut {
                    "its response was cut off".to_owned()
                } else {
                    format!("answered {status}")
                };
                let more = match unsaid {
                    0 => String::new(),
                    more => format!("; {more} earlier failures not shown"),
                };
                Some(format!("request {id}{with}: {told}: {reason}{more}"))
            }
            Event::RequestsFailed { count } => Some(match count {
                1 => "1 more request failed".to_owned(),
                _ => format!("{count} more requests failed"),
            }),
            Event::Draining {
                instance,
                pid,
                most,
                opaque,
            } => {
                let (what, now) = match opaque {
                    true => ("connections open", ""),
                    false => (
                        "requests in progress",
                        ". The same command or signal again stops it now",
                    ),
                };
                let seconds = most.div_ceil(1000);
                (!self.quiet).then(|| {
                    format!(
                        "{name}-{instance} (PID {pid}) has {what}: stopping it in {seconds} s at the \
                         latest (drain_timeout){now}"
                    )
                })
            }
            Event::NotReady { signal, delay } => (!self.quiet).then(|| {
                format!(
                    "{signal}: {name} serves new clients for another {} (drain_delay), and /readyz \
                     answers 503. A second signal stops it now",
                    span::set(Duration::from_millis(*delay))
                )
            }),
            Event::Blocked { instance, pid, .. } => self.blocked(*instance, *pid),
            Event::Unblocked {
                instance,
                pid,
                lasted,
            } => self.unblocked(*instance, *pid, *lasted),
            Event::HealthFailed {
                instance,
                pid,
                reason,
            } => Some(health::failed(&name, *instance, *pid, reason)),
            Event::HealthPassed { instance, pid } => Some(health::passed(&name, *instance, *pid)),
            Event::Done {
                command,
                instances,
                lasted,
                faults,
            } => (!self.quiet || !faults.is_empty())
                .then(|| renewals::done(&name, command, *instances, *lasted, faults)),
            Event::Stopping { reason } => {
                (!self.quiet).then(|| format!("{reason}: stopping {name}"))
            }
            Event::TookOver { processes } => Some(successions::took_over(&name, *processes)),
            Event::Updated { from, to } => Some(successions::updated(&name, from, to)),
            Event::NotUpdated { reason } => Some(successions::not_updated(&name, reason)),
            Event::Stopped { code } => (!self.quiet && *code != 0)
                .then(|| format!("{name} ended with exit code {code}")),
        }
    }

    /// Whether it was not told before that somebody has this address.
    fn is_new(&mut self, address: &str, by: &str) -> bool {
        self.in_use.insert((address.to_owned(), by.to_owned()))
    }

    fn listening(&mut self, address: &str, members: usize) -> Option<String> {
        self.in_use.retain(|(taken, _)| taken != address);
        if self.quiet || self.complete.contains(address) {
            return None;
        }
        let shown = as_url(address);
        if members < self.instances {
            return (members == 1).then(|| {
                format!(
                    "1 of {} workers of {} listens on {shown}",
                    self.instances, self.name
                )
            });
        }
        if members > self.instances {
            // Some of them are being replaced, and go: that makes no new state of affairs.
            return None;
        }
        self.complete.insert(address.to_owned());
        Some(match members {
            1 => format!("{} listens on {shown}", self.name),
            _ => format!("{members} workers of {} share {shown}", self.name),
        })
    }
}

fn seconds(ms: u64) -> String {
    span::lasted(Duration::from_millis(ms))
}

/// How a user would open a TCP address in a browser.
pub(super) fn as_url(address: &str) -> String {
    if address.starts_with("unix:") {
        return address.to_owned();
    }
    match address.rsplit_once(':') {
        Some(("0.0.0.0" | "[::]" | "127.0.0.1" | "[::1]", port)) => {
            format!("http://localhost:{port}")
        }
        _ => format!("http://{address}"),
    }
}

#[cfg(test)]
pub(super) mod tests;
