//! Where attacks are tried: the worker, what belongs to root beside it, and those who look on.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use wire::{Reply, Request};

use super::{NOBODY, is_root, raised};
use crate::agent::Agent;
use crate::client::Place;
use crate::harness::{Run, children_of, free_port};
use crate::pulse::Pulse;
use crate::victims::{reports, setup};
use crate::watch::{Seen, Watch};

/// The worker, what belongs to root beside it, and those who are to be served all the while.
pub(super) struct Bench {
    // These end before those whom they visit.
    pub(super) pulses: [Pulse; 3],
    /// Over the dispatchers of both apps.
    watches: [Watch; 2],
    pub(super) agent: Agent,
    pub(super) run: Run,
    pub(super) other_app: Run,
    pub(super) other_port: u16,
    /// Of the other user.
    pub(super) theirs: PathBuf,
    /// Of root's, with files that only root may read.
    pub(super) ours: PathBuf,
    before: Vec<String>,
}

/// No dispatcher may be held up for longer.
pub(super) const LONGEST: Duration = Duration::from_millis(10);

/// Whose rights the worker has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Worker {
    /// Another user's.
    OfAnother,
    /// Another user's, and whoever has connected becomes a program that the kernel gives root's.
    Raised,
    /// The supervisor's own.
    Own,
}

impl Bench {
    pub(super) fn new(worker: Worker) -> Bench {
        let other_port = free_port();
        let (setup, theirs) = Agent::of_another_user("ports", &[&other_port.to_string()]);
        let ours = setup.folder().join("ours");
        fs::create_dir(&ours).unwrap();
        for name in ["secret", "app.log"] {
            fs::write(ours.join(name), "secret").unwrap();
            fs::set_permissions(ours.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        drop(std::os::unix::net::UnixListener::bind(ours.join("root.sock")).unwrap());
        let setup = match worker {
            Worker::Own => setup,
            _ if is_root() => setup.option("--uid", NOBODY.to_string()),
            _ => setup,
        };
        let (setup, is_raised) = match worker {
            Worker::Raised => raised::becoming(setup),
            _ => (setup, false),
        };
        // 40,000 tries beside a racing renamer take minutes on a machine that does something else, too.
        let mut run = setup.limit(900).instances(1).start();
        run.listening_on(&format!(":{other_port}"), 1);
        let mut other_app = setup_of_the_other_app();
        other_app.listening(1);
        reports(&other_app, "the other app in its loop", 1);
        let agent = Agent::in_folder(&theirs);
        Bench {
            agent: if is_raised { agent.raised() } else { agent },
            pulses: [other_port, other_app.port, server_without_maitred()]
                .map(|port| Pulse::of(Place::Port(port))),
            watches: [&run, &other_app].map(|app| {
                let supervisor = children_of(app.pid())[0];
                Watch::of_thread(supervisor, "dispatcher")
            }),
            before: snapshot(&ours),
            run,
            other_app,
            other_port,
            theirs,
            ours,
        }
    }

    /// A folder that only root can change.
    pub(super) fn folder_of_root(&self) -> &Path {
        if is_root() {
            &self.ours
        } else {
            Path::new("/etc")
        }
    }

    pub(super) fn ask(&self, request: Request, fds: &[OwnedFd]) -> Option<Reply> {
        self.agent.call(&request.encode(), fds)
    }

    /// How long the others have waited at most since the last question, after some more visits.
    pub(super) fn longest_waits(&self, visits: u64) -> [Duration; 3] {
        let pulses = self.pulses.each_ref();
        pulses.map(|pulse| pulse.longest_after(visits))
    }

    /// What is root's is as it was, everybody else is served, and no worker has ended.
    pub(super) fn is_unharmed(&mut self, attack: &str) -> [Duration; 3] {
        let waits = self.longest_waits(200);
        assert_eq!(snapshot(&self.ours), self.before, "{attack}");
        self.run.no_worker_has_ended();
        self.other_app.no_worker_has_ended();
        waits
    }

    /// Neither dispatcher sleeps elsewhere than in its epoll for longer than [`LONGEST`], or computes for
    /// longer without a sleep three times.
    pub(super) fn not_held_up_for_long(&self, attack: &str) -> [Seen; 2] {
        self.watches.each_ref().map(|watch| {
            let seen = watch.seen();
            // The pulses alone keep it going.
            assert!(seen.looks > 50 && seen.at_rest > 0, "{attack}: {seen:?}");
            assert!(seen.longest_sleep < LONGEST, "{attack}: {seen:?}");
            // Interrupts and the host of a virtual machine take some of its time, now and then. Who can
            // keep it busy does so again, or for much longer.
            let [longest, .., third] = seen.longest_runs;
            assert!(
                third < LONGEST && longest < 10 * LONGEST,
                "{attack}: {seen:?}"
            );
            seen
        })
    }
}

/// Answers as the victims do, until the test ends.
fn server_without_maitred() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            client.unwrap().write_all(b"1\n").unwrap();
        }
    });
    port
}

fn setup_of_the_other_app() -> Run {
    setup("gcc", "acceptors", &["level"])
        .limit(900)
        .instances(1)
        .start()
}

/// All that can be seen of a folder.
fn snapshot(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let describe = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path).unwrap();
        let text = meta.is_file().then(|| fs::read(&path).unwrap());
        let owner = (meta.uid(), meta.gid(), meta.mode(), meta.nlink());
        format!("{path:?} {owner:?} {} {text:?}", meta.ino())
    };
    let mut all: Vec<_> = entries.map(|entry| describe(entry.path())).collect();
    all.push(describe(folder.to_owned()));
    all.sort();
    all
}
