//! Paths of Unix sockets that lead to where the worker may not write, for a moment or for good.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::net::AddressFamily;
use wire::{Address, Outcome, Request, Verb};

use super::{Bench, NOBODY, errno_of, give, is_root, socket_of, tries, with_address};
use crate::agent::request;

/// Names that root's folder has, and one that it has not.
const NAMES: [&str; 4] = ["secret", "app.log", "root.sock", "new.sock"];

fn address(path: &Path) -> Address {
    let family = AddressFamily::UNIX.as_raw().to_ne_bytes();
    let path = path.as_os_str().as_bytes();
    let end: &[u8] = if path.len() < 108 { &[0] } else { &[] };
    Address::new(&[&family[..], path, end].concat()).unwrap()
}

fn close(bench: &Bench, channel: u64) {
    let close = Request {
        channel,
        ..request(Verb::Close)
    };
    assert_eq!(bench.ask(close, &[]), None);
}

/// Binds, or listens at once, and closes what it got.
fn attempt(bench: &Bench, path: &Path, nth: usize, verb: Verb) {
    let fd = (nth % 8) as i32;
    let ask = with_address(verb, fd, address(path));
    let reply = bench.ask(ask, &[socket_of(AddressFamily::UNIX)]);
    if let Some(reply) = reply.filter(|reply| reply.outcome == Outcome::Channel) {
        close(bench, reply.channel);
    }
}

/// Both in turn.
fn either(nth: usize) -> Verb {
    if nth.is_multiple_of(2) {
        Verb::Bind
    } else {
        Verb::Listen
    }
}

/// Plainly, through links of the worker's own, and from the worker's folder.
pub(super) fn of_root(bench: &Bench) {
    let root = bench.folder_of_root();
    let link = bench.theirs.join("link");
    symlink(root, &link).unwrap();
    let odd = root.join("../").join(root.file_name().unwrap()).join("./");
    for folder in [root, &link, &odd, &root.join("nowhere")] {
        for name in NAMES {
            let path = folder.join(name);
            for verb in [Verb::Bind, Verb::Listen] {
                let socket = socket_of(AddressFamily::UNIX);
                let reply = bench.ask(with_address(verb, 3, address(&path)), &[socket]);
                assert!(errno_of(reply).is_some(), "{verb:?} {path:?}: {reply:?}");
            }
        }
    }
    fs::remove_file(link).unwrap();
}

/// Has a second process of the worker's swap two names all the time.
fn while_swapped(one: &Path, other: &Path, act: impl FnOnce()) {
    /// Ends the other one, also when a check fails.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
            }
        });
        let _ends = Ends(&done);
        act();
    });
}

/// A folder of the worker's, and a link to root's that it is swapped for.
fn folder_and_link(bench: &Bench, place: &Path) -> (PathBuf, PathBuf) {
    let (folder, link) = (place.join("f"), place.join("l"));
    fs::create_dir(&folder).unwrap();
    symlink(bench.folder_of_root(), &link).unwrap();
    give(&folder);
    if is_root() {
        lchown(&link, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    (folder, link)
}

fn clear(folder: &Path, link: &Path) {
    // Whichever of them is which by now.
    for path in [folder, link] {
        if fs::symlink_metadata(path).unwrap().is_symlink() {
            fs::remove_file(path).unwrap();
        } else {
            fs::remove_dir_all(path).unwrap();
        }
    }
}

fn race(bench: &Bench, verb: Verb) {
    let (folder, link) = folder_and_link(bench, &bench.theirs);
    while_swapped(&folder, &link, || {
        for nth in 0..tries() {
            attempt(bench, &folder.join(NAMES[nth % NAMES.len()]), nth, verb);
        }
    });
    clear(&folder, &link);
}

/// No attack: what the renamer alone costs the others.
pub(super) fn swapped_only(bench: &Bench) {
    let (folder, link) = folder_and_link(bench, &bench.theirs);
    while_swapped(&folder, &link, || {
        bench.longest_waits(1000);
    });
    clear(&folder, &link);
}

/// A socket is made, gets its permissions, and is removed when the next claim of its number comes.
pub(super) fn bound_while_swapped(bench: &Bench) {
    race(bench, Verb::Bind);
}

/// A listener's socket gets a second name, by which it is made again when it is removed.
pub(super) fn listened_while_swapped(bench: &Bench) {
    race(bench, Verb::Listen);
}

/// The socket itself is swapped for a link to a file of root's, and removed.
pub(super) fn names_that_are_swapped(bench: &Bench) {
    let (path, link) = (bench.theirs.join("app.sock"), bench.theirs.join("l"));
    symlink(bench.folder_of_root().join("secret"), &link).unwrap();
    if is_root() {
        lchown(&link, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    while_swapped(&path, &link, || {
        for nth in 0..tries() {
            attempt(bench, &path, nth, either(nth));
            let _ = fs::remove_file(&path);
            if nth.is_multiple_of(16) {
                // It may have been swapped away, and removed.
                let _ = fs::remove_file(&link);
                symlink(bench.folder_of_root().join("secret"), &link).unwrap();
            }
        }
    });
    for path in [path, link] {
        let _ = fs::remove_file(path);
    }
}

/// A name that fits only behind a short path is made by a link from a hidden one.
pub(super) fn long_names_while_swapped(bench: &Bench) {
    let mut short = tempfile::Builder::new();
    let Ok(place) = short.prefix("").rand_bytes(4).tempdir_in("/dev/shm") else {
        println!("no /dev/shm here: long names are not tried");
        return;
    };
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    give(place.path());
    let (folder, link) = folder_and_link(bench, place.path());
    let room = 108 - folder.as_os_str().len() - 1;
    let names = ["a", "b", "c"].map(|letter| letter.repeat(room));
    while_swapped(&folder, &link, || {
        for nth in 0..tries() {
            attempt(bench, &folder.join(&names[nth % 3]), nth, either(nth));
        }
    });
}

/// The library asks before it removes a path, by numbers: whatever they name is not removed by us.
pub(super) fn removed_by_number(bench: &Bench) {
    let root = bench.folder_of_root();
    for entry in fs::read_dir(root).unwrap().flatten() {
        let meta = fs::symlink_metadata(entry.path()).unwrap();
        let remove = Request {
            channel: meta.ino(),
            arg: meta.dev() as i32,
            arg2: (meta.dev() >> 32) as i32,
            ..request(Verb::Remove)
        };
        let reply = bench.ask(remove, &[]).unwrap();
        assert_eq!(reply.outcome, Outcome::Native);
        let file: OwnedFd = fs::File::open("/dev/null").unwrap().into();
        bench.ask(remove, &[file]);
    }
}
