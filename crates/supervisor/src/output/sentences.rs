//! Events as sentences: what happened, why, and what comes next.

use std::collections::BTreeSet;
use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use config::{App, signal_name};
use telemetry::events::{Event, Next, Trigger};
use telemetry::figures::Foreign;

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
pub(super) fn prefix(name: &str, instance: u32, colours: bool) -> String {
    if !colours {
        return format!("{name}-{instance} | ");
    }
    let colour = COLOURS
        .get(instance as usize % COLOURS.len())
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
    /// How long a connection may wait for a worker, in milliseconds.
    patience: u64,
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
            patience: patience(app),
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
        self.patience = patience(app);
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
                    "{name} runs without connections being distributed: {reason}, so maitred \
                     cannot give it its listening sockets"
                );
                if self.instances > 1 {
                    text.push_str(
                        ". Each instance needs a port of its own; NODE_APP_INSTANCE tells it its \
                         number",
                    );
                }
                Some(text)
            }
            Event::Unfit {
                instance,
                wanted,
                reason,
            } => Some(format!(
                "{name}-{instance} is stopped, for {wanted} cannot be had: {reason}, so maitred \
                 cannot give it its listening sockets"
            )),
            Event::Silent { instance, .. } => (!self.quiet).then(|| {
                format!(
                    "{name}-{instance} is idle and listens on no address that could be shared: \
                     there is nothing to distribute. If it should, see what it writes above; if \
                     it is a job without a port, all is well"
                )
            }),
            Event::InUse {
                instance,
                address,
                by,
            } => {
                let known = by.clone().unwrap_or_default();
                if !self.in_use.insert((address.clone(), known)) {
                    return None;
                }
                let Some(by) = by else {
                    return Some(format!(
                        "{name}-{instance} cannot listen on {address}: it is in use, and maitred \
                         cannot see by which process. Choose another port, or look with `ss -ltnp` \
                         as root"
                    ));
                };
                Some(format!(
                    "{name}-{instance} cannot listen on {address}: it is in use by {by}. Stop \
                     that, or choose another port"
                ))
            }
            Event::DatagramsShared { address, .. } => {
                let first = self.complete.insert(address.clone()) && !self.quiet;
                first.then(|| format!("the instances of {name} share {address}"))
            }
            Event::DatagramsNotShared { instance, address } => Some(format!(
                "{name}-{instance} cannot listen on {address}: another instance has it, and the \
                 kernel does not let maitred share its socket (pidfd_getfd: another user's process, \
                 or a strict container). Give each instance a port of its own; NODE_APP_INSTANCE \
                 holds its number"
            )),
            Event::PrivilegedPort {
                instance,
                address,
                port,
            } => Some(format!(
                "{name}-{instance} cannot listen on {address}: its user may not use port {port}. \
                 Add the port to privileged_ports (--privileged-port {port}), or choose another"
            )),
            Event::Stranger { pid, uid } => Some(format!(
                "process {pid} of user {uid} asked for connections of {name} and was refused: it \
                 was not started by this app"
            )),
            Event::TooMuch { pid } => Some(format!(
                "process {pid} of {name} was refused another listener: it has too many, or the \
                 limit for open files (ulimit -n) is too low"
            )),
            Event::Blind { .. } => {
                if std::mem::replace(&mut self.blind, true) {
                    return None;
                }
                Some(format!(
                    "the kernel does not let maitred see whether the workers of {name} are busy \
                     (another user's process, or a strict container); it goes by what they \
                     have taken"
                ))
            }
            Event::Uncounted => Some(format!(
                "the kernel does not tell which connections are open (sock_diag), so those of \
                 {name} are not counted: least_conn goes in turn, and no limit holds"
            )),
            Event::OutOfDescriptors { limit } => Some(format!(
                "{limit} files are open, which is the limit (ulimit -n): new connections and \
                 workers that start wait until some are closed"
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
                 allows: new ones wait in the kernel until some have left"
            )),
            Event::TurnedAway { address, limit } => super::crowd::turned_away(*address, *limit),
            Event::Refused { address, total } => Some(format!(
                "connections to {address} were closed unserved after waiting {} for a worker: \
                 {total} so far",
                seconds(self.patience)
            )),
            Event::Hurrying => Some(format!(
                "clients wait and no worker of {name} is up: trying to start one each second"
            )),
            Event::Renewing { trigger } => Some(renewing(&name, trigger)),
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
                "{lines} lines for {path} came faster than they could be written, and are lost"
            )),
            Event::LogNotRotated { path, reason } => Some(format!(
                "{path} has grown large, and grows on: it cannot be rotated: {reason}"
            )),
            Event::PidFileFailing { path, reason } => {
                Some(format!("{name}: pid_file {path}: {reason}"))
            }
            Event::Rejection { instance } => {
                if std::mem::replace(&mut self.rejection, true) {
                    return None;
                }
                Some(format!(
                    "{name}-{instance} has crashed on an unhandled promise rejection, as Node does \
                     by default; pm2 keeps such an app running. Handle the rejection, or set \
                     node_args to --unhandled-rejections=warn"
                ))
            }
            Event::Deaf { instance, reason } => Some(format!(
                "the output of {name}-{instance} cannot be read: {reason}"
            )),
            Event::MetricsFailing { address, reason } => Some(format!(
                "the metrics of {name} cannot be served at {address}: {reason}. Trying again each \
                 second; choose another address with --metrics if another program keeps this one"
            )),
            Event::NotKept { reason } => Some(format!(
                "what has changed is not kept, and is lost when this supervisor ends: {reason}"
            )),
            Event::Figures { listeners } => Some(super::figures::table(&name, listeners)),
            Event::Foreign { address, what } => {
                let new = self.foreign.insert((address.clone(), *what));
                new.then(|| format!("{name} on {address}: {}", what.text()))
            }
            Event::Certificate { reason } => Some(format!(
                "the certificate has changed and cannot be used, so the one before stays: {reason}"
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
                    more => format!("; {more} others before it were not told of"),
                };
                Some(format!("request {id}{with}: {told}: {reason}{more}"))
            }
            Event::RequestsFailed { count } => Some(match count {
                1 => "one more request has failed".to_owned(),
                _ => format!("{count} more requests have failed"),
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
            Event::Stopping { reason } => {
                (!self.quiet).then(|| format!("{reason}: stopping {name}"))
            }
            Event::Stopped { code } => (!self.quiet && *code != 0)
                .then(|| format!("{name} has ended with exit code {code}")),
        }
    }

    fn listening(&mut self, address: &str, members: usize) -> Option<String> {
        self.in_use.retain(|(taken, _)| taken != address);
        if self.quiet || self.complete.contains(address) {
            return None;
        }
        let shown = as_url(address);
        if members < self.instances {
            return (members == 1)
                .then(|| format!("{} listens on {shown}; more to come", self.name));
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

    fn exited(
        &self,
        instance: u32,
        how: (Option<i32>, Option<i32>, Option<u64>),
        uptime: u64,
        next: &Next,
    ) -> Option<String> {
        let expected = matches!(next, Next::Stopped) || (self.quiet && matches!(next, Next::Ended));
        if expected && how.2.is_none() {
            return None;
        }
        let mut text = format!("{}-{instance}", self.name);
        if let Next::Retry { delay } = next {
            return Some(format!("{text}: trying again in {}", seconds(*delay)));
        }
        // Writing to a string does not fail.
        let _ = match how {
            (_, Some(_), Some(bound)) => write!(
                text,
                " was killed by the kernel, for its memory had come to {} MB, the bound that it has \
                 for its max_memory_restart,",
                bound / MB
            ),
            (_, Some(signal), None) => write!(text, " was killed by {}", signal_name(signal)),
            (code, None, _) => write!(text, " exited with code {}", code.unwrap_or(0)),
        };
        let _ = write!(text, " after {}", seconds(uptime));
        let _ = match next {
            Next::Restart { delay: 0, .. } => write!(text, "; restarting at once"),
            Next::Restart {
                delay,
                attempt,
                max,
            } => write!(
                text,
                "; restarting in {} (attempt {attempt} of {max})",
                seconds(*delay)
            ),
            Next::Errored { attempts: 0 } => {
                write!(text, "; max_restarts is 0, so it is not restarted")
            }
            Next::Errored { attempts } => write!(
                text,
                "; it has ended too soon {} times in a row, and is not restarted any more",
                attempts + 1
            ),
            Next::Replaced => write!(text, " while its successor starts"),
            Next::Kept => write!(text, " before it was up; the one before it goes on"),
            Next::Stopped | Next::Ended | Next::Retry { .. } => Ok(()),
        };
        Some(text)
    }
}

fn patience(app: &App) -> u64 {
    u64::try_from(app.balance.patience.as_millis()).unwrap_or(u64::MAX)
}

fn renewing(name: &str, trigger: &Trigger) -> String {
    match trigger {
        Trigger::Schedule => format!("it is time: restarting {name}"),
        Trigger::Change { path, others: 0 } => {
            format!("{} has changed: restarting {name}", path.escape_debug())
        }
        Trigger::Change { path, others } => format!(
            "{} and {others} more have changed: restarting {name}",
            path.escape_debug()
        ),
        Trigger::Memory {
            instance,
            used,
            limit,
        } => format!(
            "{name}-{instance} uses {} MB, more than {} MB: replacing it",
            used / MB,
            limit / MB
        ),
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
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
pub(super) mod tests {
    use super::*;

    pub(in crate::output) fn sentences() -> Sentences {
        Sentences {
            name: "server".into(),
            instances: 3,
            quiet: false,
            colours: false,
            complete: BTreeSet::new(),
            in_use: BTreeSet::new(),
            foreign: BTreeSet::new(),
            not_preloaded: false,
            blind: false,
            rejection: false,
            patience: 30_000,
        }
    }

    #[test]
    fn an_exit_says_what_and_why_and_what_next() {
        let exited = |signal: Option<i32>, next| Event::Exited {
            instance: 2,
            pid: 1,
            code: signal.is_none().then_some(1),
            signal,
            out_of_memory: None,
            uptime: 300,
            next,
        };
        let restart = Next::Restart {
            delay: 1500,
            attempt: 3,
            max: 16,
        };
        assert_eq!(
            sentences().of(&exited(None, restart)).unwrap(),
            "maitred: server-2 exited with code 1 after 0.3 s; restarting in 1.5 s (attempt 3 of \
             16)\n"
        );
        let killed = sentences().of(&exited(Some(9), Next::Ended)).unwrap();
        assert_eq!(
            killed,
            "maitred: server-2 was killed by SIGKILL after 0.3 s\n"
        );
        let once = sentences().of(&exited(None, Next::Errored { attempts: 0 }));
        assert!(
            once.unwrap()
                .ends_with("; max_restarts is 0, so it is not restarted\n")
        );
        let often = sentences().of(&exited(None, Next::Errored { attempts: 3 }));
        assert!(often.unwrap().contains("too soon 4 times in a row"));
        assert_eq!(sentences().of(&exited(None, Next::Stopped)), None);
        let mut at_bound = exited(Some(9), Next::Ended);
        if let Event::Exited { out_of_memory, .. } = &mut at_bound {
            *out_of_memory = Some(400 * MB);
        }
        assert_eq!(
            sentences().of(&at_bound).unwrap(),
            "maitred: server-2 was killed by the kernel, for its memory had come to 400 MB, the \
             bound that it has for its max_memory_restart, after 0.3 s\n"
        );
    }

    #[test]
    fn listening_is_told_at_the_first_and_the_last() {
        let mut sentences = sentences();
        let told: Vec<_> = (1..=4)
            .filter_map(|members| {
                sentences.of(&Event::Listening {
                    instance: 0,
                    pid: 1,
                    address: "0.0.0.0:5555".into(),
                    members,
                })
            })
            .collect();
        assert_eq!(told.len(), 2, "a fourth is a successor");
        assert!(told[1].contains("3 workers of server share http://localhost:5555"));
    }

    #[test]
    fn who_has_an_address_is_told_once_until_it_is_free() {
        let mut sentences = sentences();
        let mut told = |instance, by: &str| {
            let event = Event::InUse {
                instance,
                address: "0.0.0.0:80".into(),
                by: Some(by.into()),
            };
            sentences.of(&event).is_some()
        };
        assert!(told(0, "nginx"));
        assert!(!told(1, "nginx"));
        assert!(told(1, "caddy"));
        sentences.of(&Event::Listening {
            instance: 0,
            pid: 1,
            address: "0.0.0.0:80".into(),
            members: 1,
        });
        let again = Event::InUse {
            instance: 0,
            address: "0.0.0.0:80".into(),
            by: Some("nginx".into()),
        };
        assert!(sentences.of(&again).is_some());
    }
}
