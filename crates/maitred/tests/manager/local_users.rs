//! An ordinary user's supervisor beside another local user, who attacks it all the while that it starts,
//! serves, reloads, writes logs and ends. (As an ordinary user, the tests see what others may.)

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use sys::{CapabilitySet, Identity, Rights};

use crate::harness::place::maitred;
use crate::harness::{PATIENCE, Request, beside_others, gone_within};
use crate::home::{Ended, Home, ended};

pub(crate) const OWNER: u32 = 65534;
const OTHER: u32 = 65533;

/// Each of the attacks on names in a folder that both may write to.
const TRIES: usize = 10_000;

const SERVER: &str = "
let count = 0;
require('http').createServer((_, answer) => {
    console.log('line', ++count);
    answer.end('answer');
}).listen(process.env.PORT);
";

/// The owner's home, and folders that both users reach.
pub(crate) struct Place {
    pub(crate) home: Home,
    executable: PathBuf,
    pub(crate) is_root: bool,
}

impl Place {
    pub(crate) fn new() -> Place {
        let home = Home::new();
        let is_root = rustix::process::geteuid().is_root();
        home.file("app.cjs", SERVER);
        // Where the owner can run it, whoever may enter the checkout.
        let executable = home.folder().join("maitred");
        fs::copy(maitred(), &executable).unwrap();
        fs::set_permissions(home.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [
            (".maitred", 0o700),
            ("private", 0o700),
            ("shared", 0o1777),
            ("tmp", 0o1777),
        ] {
            let folder = home.folder().join(name);
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            if is_root && mode == 0o700 {
                chown(&folder, Some(OWNER), Some(OWNER)).unwrap();
            }
        }
        let place = Place {
            home,
            executable,
            is_root,
        };
        let secret = place.at("private/secret");
        fs::write(&secret, "secret").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        if is_root {
            chown(&secret, Some(OWNER), Some(OWNER)).unwrap();
        }
        place
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.home.folder().join(name)
    }

    /// The owner runs a command.
    fn run(&self, args: &[&str]) -> Ended {
        let usual = self.home.command(args);
        let mut command = Command::new(&self.executable);
        let set = |(name, value): (_, Option<_>)| Some((name, value?));
        command
            .args(args)
            .envs(usual.get_envs().filter_map(set))
            .env("TMPDIR", self.at("tmp"))
            .env_remove("XDG_RUNTIME_DIR")
            .current_dir(self.home.folder())
            .stdin(Stdio::null());
        if self.is_root {
            command.uid(OWNER).gid(OWNER);
        }
        ended(command)
    }

    pub(crate) fn does(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.output
    }

    /// What the owner has made in a folder, and all below it.
    fn of_owner(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(meta) = fs::symlink_metadata(&path) else {
                continue;
            };
            if meta.is_dir() {
                found.extend(self.of_owner(&path));
            }
            if !self.is_root || meta.uid() == OWNER {
                found.push(path);
            }
        }
        found
    }
}

/// Ends with what it stands for, whatever becomes of the rest.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the other user attempts again and again; what succeeded although it must not.
fn attack(place: &Place, over: &AtomicBool) -> Vec<String> {
    let rights = Rights {
        identity: Identity {
            uid: OTHER,
            gid: OTHER,
            groups: vec![OTHER],
        },
        capabilities: CapabilitySet::empty(),
    };
    // It may do what it may, and no more.
    let own = place.at("shared/own");
    assert!(rights.act(|| fs::write(own, "")).unwrap().is_ok());
    let secret = place.at("private/secret");
    assert!(rights.act(|| fs::read(secret)).unwrap().is_err());
    let mut reached = Vec::new();
    let mut tries = 0;
    while tries < TRIES || !over.load(Ordering::Relaxed) {
        tries += 1;
        // Names of files that the owner names in shared folders: they come to be all that there is.
        let targets = ["private/secret", "private", ".maitred/dump.json", "shared"];
        let target = place.at(targets[tries % targets.len()]);
        let shared = ["out.log", "error.log", "app.pid", "app-0.pid"].map(|name| {
            let next = place.at(&format!("shared/next.{name}"));
            let at = place.at("shared").join(name);
            (next, at)
        });
        // Not in each round, for the folders are long to walk.
        let owned = match tries % 100 {
            1 => [place.home.path(), &place.at("tmp"), &place.at("private")]
                .iter()
                .flat_map(|folder| place.of_owner(folder))
                .collect(),
            _ => Vec::new(),
        };
        rights
            .act(|| {
                for (next, at) in &shared {
                    let _ = fs::remove_file(next);
                    match tries % 3 {
                        0 => drop(fs::write(next, "")),
                        _ => drop(symlink(&target, next)),
                    }
                    let _ = fs::rename(next, at);
                }
                for path in &owned {
                    let mut must_fail = |what: &str, done: bool| {
                        if done {
                            reached.push(format!("{what} {path:?}"));
                        }
                    };
                    must_fail("opened", fs::File::open(path).is_ok());
                    must_fail(
                        "appended",
                        fs::File::options().append(true).open(path).is_ok(),
                    );
                    must_fail("removed", fs::remove_file(path).is_ok());
                    let aside = path.with_extension("aside");
                    must_fail("renamed", fs::rename(path, &aside).is_ok());
                    must_fail(
                        "linked",
                        fs::hard_link(path, place.at("shared/link")).is_ok(),
                    );
                    must_fail("made", fs::write(path.join("made"), "").is_ok());
                    let (unix, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
                    for kind in [kind, SocketType::STREAM] {
                        let socket = socket_with(unix, kind, SocketFlags::CLOEXEC, None).unwrap();
                        let connected = sys::connect_unix(socket.as_fd(), path);
                        must_fail("connected", connected.is_ok());
                    }
                }
                if !owned.is_empty() {
                    reached.extend(abstract_names());
                }
            })
            .unwrap();
    }
    reached
}

/// The abstract names of our sockets are there for all to see: nobody can connect to one, and those that
/// come next cannot be foreseen, however many are taken.
fn abstract_names() -> Vec<String> {
    let all = fs::read("/proc/net/unix").unwrap();
    let all = String::from_utf8_lossy(&all).into_owned();
    let names = all.lines().filter_map(|line| {
        let name = line.split_whitespace().last()?.strip_prefix('@')?;
        name.starts_with("maitred/").then_some(name)
    });
    let mut reached = Vec::new();
    let mut squatted = Vec::new();
    for name in names {
        let sockaddr = [&1u16.to_ne_bytes()[..], b"\0", name.as_bytes()].concat();
        let next = [&sockaddr[..sockaddr.len() - 1], b"0"].concat();
        let socket = |kind| {
            let unix = AddressFamily::UNIX;
            socket_with(unix, kind, SocketFlags::CLOEXEC, None).unwrap()
        };
        let squatter = socket(SocketType::SEQPACKET);
        if sys::bind(squatter.as_fd(), &next).is_ok() {
            squatted.push(squatter);
        }
        for kind in [SocketType::SEQPACKET, SocketType::STREAM] {
            let address = rustix::net::SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
            if rustix::net::connect(socket(kind), &address).is_ok() {
                reached.push(format!("connected to {name}"));
            }
        }
    }
    reached
}

#[test]
fn another_local_user_reaches_nothing_of_an_ordinary_user_s() {
    let _turn = beside_others();
    let place = Place::new();
    let over = AtomicBool::new(false);
    let path = |name: &str| place.at(name).to_str().unwrap().to_owned();
    let (out, error, pid) = (
        path("shared/out.log"),
        path("shared/error.log"),
        path("shared/app.pid"),
    );
    let start = [
        "start", "app.cjs", "-i", "2", "-o", &out, "-e", &error, "--pid", &pid,
    ];
    std::thread::scope(|scope| {
        let attacker = place.is_root.then(|| scope.spawn(|| attack(&place, &over)));
        let ends = Ends(&over);
        place.does(&start);
        let visits = || {
            for _ in 0..50 {
                let answer = Request::get(&place.home.door(), "/").unwrap();
                assert_eq!(answer.body, "answer");
            }
        };
        visits();
        place.does(&["reload", "app"]);
        place.does(&["reloadLogs"]);
        visits();
        place.does(&["scale", "app", "3"]);
        place.does(&["restart", "app"]);
        visits();
        for folder in [place.home.path(), &place.at("tmp")] {
            let made = place.of_owner(folder);
            assert!(!made.is_empty(), "{folder:?}");
            for file in made {
                let meta = fs::symlink_metadata(&file).unwrap();
                let others = meta.mode() & 0o077;
                // A link has no permissions of its own.
                assert!(meta.is_symlink() || others == 0, "{file:?}: {others:o}");
            }
        }
        place.does(&["stop", "app"]);
        place.does(&["delete", "app"]);
        drop(ends);
        if let Some(attacker) = attacker {
            assert_eq!(attacker.join().unwrap(), Vec::<String>::new());
        }
    });
    place.does(&["kill"]);
    assert_eq!(gone_within(PATIENCE, &place.home.processes()), []);
    let secret = place.at("private/secret");
    let meta = fs::metadata(&secret).unwrap();
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
    assert_eq!((meta.mode() & 0o777, meta.nlink()), (0o600, 1));
    // Nothing of the logs is shown to the other user.
    for entry in fs::read_dir(place.at("shared")).unwrap().flatten() {
        let meta = fs::symlink_metadata(entry.path()).unwrap();
        if meta.is_file() && meta.uid() == OTHER {
            assert_eq!(fs::read_to_string(entry.path()).unwrap(), "");
        }
    }
    if place.is_root {
        // Root refuses a home that belongs to another one; it is empty, and goes with the folder.
        fs::remove_dir_all(place.home.path()).unwrap();
    }
}
