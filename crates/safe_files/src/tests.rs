//! Somebody else renames, links and replaces while files are opened. Nothing outside that user's
//! rights changes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;

const THEM: u32 = 65534;

/// How often each kind of thing is tried while somebody else is busy.
const TRIES: usize = 10_000;

fn them() -> Identity {
    Identity {
        uid: THEM,
        gid: THEM,
        groups: vec![THEM],
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder of the other user beside one of ours, with a secret in it.
struct Bench {
    _folder: tempfile::TempDir,
    top: PathBuf,
}

impl Bench {
    fn new() -> Self {
        // In memory: a disk's journal would be most of the work.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.unwrap();
        let top = folder.path().to_owned();
        set_mode(&top, 0o755);
        let bench = Self {
            _folder: folder,
            top,
        };
        fs::create_dir(bench.ours("")).unwrap();
        set_mode(&bench.ours(""), 0o755);
        for name in [
            "secret",
            "app.log",
            "app.pid",
            "app__2026-03-07_09-05-03.log",
        ] {
            fs::write(bench.ours(name), "secret").unwrap();
            set_mode(&bench.ours(name), 0o600);
        }
        fs::create_dir(bench.theirs("")).unwrap();
        set_mode(&bench.theirs(""), 0o777);
        if is_root() {
            chown(bench.theirs(""), Some(THEM), Some(THEM)).unwrap();
        }
        bench
    }

    fn ours(&self, name: &str) -> PathBuf {
        self.top.join("ours").join(name)
    }

    fn theirs(&self, name: &str) -> PathBuf {
        self.top.join("theirs").join(name)
    }

    /// What is ours is as it was, and there is no more of it.
    fn is_unharmed(&self) {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.ours("")).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            assert_eq!(fs::read(entry.path()).unwrap(), b"secret", "{entry:?}");
            assert_eq!((meta.mode() & 0o777, meta.nlink()), (0o600, 1), "{entry:?}");
            names.push(entry.file_name());
        }
        assert_eq!(names.len(), 4, "{names:?}");
        // Nothing of the other user's holds a copy.
        let mut folders = vec![self.theirs("")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                if fs::symlink_metadata(entry.path()).is_ok_and(|meta| meta.is_dir()) {
                    folders.push(entry.path());
                    continue;
                }
                // A name may be another file's by now, as others still swap: what was looked at is
                // what is read.
                let file = fs::OpenOptions::new()
                    .read(true)
                    .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
                    .open(entry.path());
                let Ok(file) = file else { continue };
                let meta = file.metadata().unwrap();
                if meta.is_file() && meta.uid() == THEM {
                    let text = io::read_to_string(file).unwrap();
                    assert!(!text.contains("secret"), "{entry:?}");
                }
            }
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Has somebody else busy all the time while something is done.
fn beside(other: impl Fn() + Sync, act: impl FnOnce()) {
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
                other();
            }
        });
        let _ends = Ends(&done);
        act();
    });
}

/// Swaps two names with each other all the time, while something is done.
fn while_swapped(one: &Path, other: &Path, act: impl FnOnce()) {
    let swap = || {
        let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
    };
    beside(swap, act);
}

/// Whose rights are tried: the other user's app run by root, and our own in that user's folder.
fn all_rights() -> Vec<Rights> {
    let app = is_root().then(|| Rights::of(Some(them())));
    app.into_iter().chain([Rights::default()]).collect()
}

/// What is done with files that a config names: what it is called, the file, and how.
type Deed = (&'static str, &'static str, fn(&Rights, &Path));

const DEEDS: [Deed; 5] = [
    ("create and remove", "app.pid", |rights, folder| {
        let _ = rights.replace(&folder.join("app.pid"), b"1");
        let _ = rights.remove(&folder.join("app.pid"));
    }),
    ("append", "app.log", |rights, folder| {
        if let Ok(opened) = rights.append(&folder.join("app.log")) {
            let _ = writeln!(&opened.file, "line");
        }
    }),
    ("truncate", "app.log", |rights, folder| {
        let _ = rights.stat(&folder.join("app.log"));
        let _ = rights.empty(&folder.join("app.log"));
    }),
    ("rename", "app.log", |rights, folder| {
        let _ = rights.append(&folder.join("app.log")).map(rename);
    }),
    ("read", OLD, |rights, folder| {
        let _ = rights.append(&folder.join("app.log")).map(read);
    }),
];

const OLD: &str = "app__2026-03-07_09-05-03.log";

/// What rotation does with a log.
fn rename(opened: Opened) {
    if let Some(Place { folder, name }) = opened.place {
        let _ = folder.rename_to_new(&name, OsStr::new(OLD));
        let _ = folder.remove(OsStr::new(OLD));
    }
}

/// What compression does with an old log.
fn read(opened: Opened) -> io::Result<()> {
    let Some(Place { folder, .. }) = opened.place else {
        return Ok(());
    };
    let part = OsStr::new("app__2026-03-07_09-05-03.log.gz.part");
    let _ = folder.remove(part);
    let _ = folder.open(part, How::New);
    let mut from = folder.open(OsStr::new(OLD), How::Read)?;
    let _ = folder.remove(part);
    let mut to = folder.open(part, How::New)?;
    io::copy(&mut from, &mut to)?;
    Ok(())
}

/// Each is tried by itself, all the tries.
fn race(deed: &Deed, rights: &Rights, folder: &Path, bench: &Bench) {
    for _ in 0..TRIES {
        (deed.2)(rights, folder);
    }
    bench.is_unharmed();
}

#[test]
fn a_link_in_another_s_folder_leads_nowhere() {
    for rights in all_rights() {
        let bench = Bench::new();
        for name in ["app.log", "app.pid"] {
            symlink(bench.ours("secret"), bench.theirs(name)).unwrap();
            if is_root() {
                std::os::unix::fs::lchown(bench.theirs(name), Some(THEM), Some(THEM)).unwrap();
            }
        }
        symlink(bench.ours(""), bench.theirs("logs")).unwrap();
        let denied = |result: io::Result<()>| {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        };
        for path in ["app.log", "logs/app.log", "logs/new/app.log"] {
            denied(rights.append(&bench.theirs(path)).map(drop));
        }
        denied(rights.replace(&bench.theirs("app.pid"), b"1"));
        denied(rights.replace(&bench.theirs("logs/app.pid"), b"1"));
        denied(rights.empty(&bench.theirs("app.log")).map(drop));
        denied(rights.remove(&bench.theirs("logs/app.pid")));
        bench.is_unharmed();
    }
}

/// A folder that turns into a link to ours and back, all the time.
#[test]
fn a_folder_that_is_swapped_for_a_link() {
    for rights in all_rights() {
        let bench = Bench::new();
        let (logs, link) = (bench.theirs("logs"), bench.theirs("link"));
        fs::create_dir(&logs).unwrap();
        symlink(bench.ours(""), &link).unwrap();
        if is_root() {
            chown(&logs, Some(THEM), Some(THEM)).unwrap();
            std::os::unix::fs::lchown(&link, Some(THEM), Some(THEM)).unwrap();
        }
        while_swapped(&logs, &link, || {
            for deed in &DEEDS {
                race(deed, &rights, &logs, &bench);
            }
        });
    }
}

/// A file that turns into a link to one of ours and back, all the time.
#[test]
fn a_file_that_is_swapped_for_a_link() {
    for rights in all_rights() {
        for deed in &DEEDS {
            let bench = Bench::new();
            let (file, link) = (bench.theirs(deed.1), bench.theirs("link"));
            fs::write(&file, "").unwrap();
            symlink(bench.ours("secret"), &link).unwrap();
            if is_root() {
                chown(&file, Some(THEM), Some(THEM)).unwrap();
                std::os::unix::fs::lchown(&link, Some(THEM), Some(THEM)).unwrap();
            }
            while_swapped(&file, &link, || {
                race(deed, &rights, &bench.theirs(""), &bench);
            });
            bench.is_unharmed();
        }
    }
}

/// What the kernel prevents only where `fs.protected_hardlinks` is set.
#[test]
fn a_second_name_of_ours_in_another_s_folder() {
    let bench = Bench::new();
    let (file, name) = (bench.theirs("app.log"), bench.theirs("name"));
    let link = || {
        let _ = fs::hard_link(bench.ours("secret"), &name);
        let _ = fs::rename(&name, &file);
        let _ = fs::remove_file(&file);
    };
    beside(link, || {
        for deed in DEEDS.iter().filter(|deed| deed.1 == "app.log") {
            for _ in 0..TRIES {
                (deed.2)(&Rights::default(), &bench.theirs(""));
            }
        }
    });
    let _ = fs::remove_file(&file);
    let _ = fs::remove_file(&name);
    bench.is_unharmed();
}

#[test]
fn nobody_waits_for_a_pipe() {
    for rights in all_rights() {
        let bench = Bench::new();
        for name in ["app.log", "app.pid"] {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(CWD, bench.theirs(name), kind, 0o666.into(), 0).unwrap();
        }
        // As long as somebody reads, only the kind of the file speaks against it.
        let reader = fs::OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(bench.theirs("app.log"))
            .unwrap();
        rights.append(&bench.theirs("app.log")).unwrap_err();
        drop(reader);
        rights.append(&bench.theirs("app.log")).unwrap_err();
        rights.replace(&bench.theirs("app.pid"), b"1").unwrap_err();
        bench.is_unharmed();
    }
}

/// `/proc/self` is us for whoever makes us open it.
#[test]
fn nothing_of_ours_is_reached_through_proc() {
    if !is_root() {
        return is_allowed_to_nobody_else();
    }
    let bench = Bench::new();
    let rights = Rights::of(Some(them()));
    for target in [
        "/proc/self/comm",
        "/proc/self/timerslack_ns",
        "/proc/self/fd/1",
    ] {
        symlink(target, bench.theirs("app.log")).unwrap();
        rights.append(&bench.theirs("app.log")).unwrap_err();
        fs::remove_file(bench.theirs("app.log")).unwrap();
    }
}

/// For an ordinary user: another's rights are not to be had, and that is an error.
fn is_allowed_to_nobody_else() {
    let bench = Bench::new();
    let rights = Rights::of(Some(Identity { uid: 1, ..them() }));
    let error = rights.append(&bench.theirs("app.log")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
}

/// What an app's user may do is done in that user's name; what it may not, in ours, where nobody
/// can interfere.
#[test]
fn the_app_s_user_writes_where_it_may_and_root_where_nobody_else_can() {
    if !is_root() {
        return is_allowed_to_nobody_else();
    }
    let bench = Bench::new();
    let rights = Rights::of(Some(them()));
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    let theirs = bench.theirs("new/app.log");
    rights.append(&theirs).unwrap();
    assert_eq!((owner(&theirs), owner(&bench.theirs("new"))), (THEM, THEM));
    let ours = bench.top.join("root/app.log");
    rights.append(&ours).unwrap();
    assert_eq!(owner(&ours), 0);
    assert_eq!(fs::metadata(&ours).unwrap().mode() & 0o777, 0o600);
    rights
        .replace(&bench.top.join("root/app.pid"), b"1")
        .unwrap();
    rights.remove(&bench.top.join("root/app.pid")).unwrap();
    // A file of root's in a folder of theirs, with what to do about it.
    let stuck = bench.theirs("stuck.log");
    fs::write(&stuck, "").unwrap();
    let error = rights.append(&stuck).unwrap_err().to_string();
    assert!(error.contains("only root can change"), "{error}");
    // The umask has no say in it.
    let mode = fs::metadata(&theirs).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn one_s_own_links_are_followed() {
    let bench = Bench::new();
    let data = bench.top.join("data");
    fs::create_dir(&data).unwrap();
    symlink(&data, bench.top.join("logs")).unwrap();
    symlink("../data/real.log", data.join("app.log")).unwrap();
    let rights = Rights::default();
    let opened = rights.append(&bench.top.join("logs/app.log")).unwrap();
    let Place { folder, name } = opened.place.unwrap();
    assert_eq!(folder.path().join(name), data.join("real.log"));
    assert!(rights.append(&bench.top.join("logs/.")).is_err());
    assert!(rights.append(Path::new("/dev/null")).is_ok());
}

/// However many files of a folder are open, it is open once: as long as nothing about it changes.
#[test]
fn a_folder_that_is_in_use_is_not_opened_again() {
    let bench = Bench::new();
    let rights = Rights::default();
    let folder = |name: &str| {
        let opened = rights.append(&bench.top.join("logs").join(name)).unwrap();
        opened.place.unwrap().folder
    };
    let first = folder("a.log");
    assert!(Arc::ptr_eq(&first, &folder("b.log")));
    fs::set_permissions(bench.top.join("logs"), fs::Permissions::from_mode(0o777)).unwrap();
    let open_to_all = folder("a.log");
    assert!(!Arc::ptr_eq(&first, &open_to_all));
    // Another folder has its name now.
    fs::rename(bench.top.join("logs"), bench.top.join("old")).unwrap();
    let new = folder("a.log");
    assert!(!Arc::ptr_eq(&open_to_all, &new));
    assert_eq!(new.path(), bench.top.join("logs"));
}
