//! Going along a path, part by part, from one open folder to the next: what was checked is what is
//! used, whatever is renamed meanwhile.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use super::trust::{Doubt, Facts, Trust};

/// The kernel follows as many links in one path.
const MOST_LINKS: u32 = 40;

/// Where a path ends.
#[derive(Debug)]
pub(super) struct End {
    pub(super) folder: OwnedFd,
    pub(super) facts: Facts,
    /// No link had this name when it was looked at.
    pub(super) name: OsString,
}

/// The kernel's coarse clock, by which it marks changes of files.
pub(super) fn now() -> Duration {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Goes along an absolute path, with links, to the folder that its last name stands in. Without
/// `trust` only the kernel decides. Missing folders are made, if asked for, for their owner alone.
///
/// # Errors
/// Those of `openat(2)`, `mkdirat(2)` and `readlinkat(2)`; `PermissionDenied` with the reason if
/// what others can change must not be trusted.
pub(super) fn walk(path: &Path, trust: Option<&Trust>, make_folders: bool) -> io::Result<End> {
    let started = now();
    let mut folder = root()?;
    let mut facts = Facts::from(&fstat(&folder)?);
    let mut left: VecDeque<OsString> = parts(path).collect();
    let (mut links, mut decided) = (0, None);
    while let Some(part) = left.pop_front() {
        let is_up = part == "..";
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match openat(&folder, &part, flags, Mode::empty()) {
            Err(Errno::NOENT) if left.is_empty() => {
                return end(folder, facts, part, trust, decided);
            }
            Err(Errno::NOENT) if make_folders && !is_up => {
                if let Some(trust) = trust {
                    let may = trust.end_in(&facts, decided);
                    may.map_err(|doubt| refusal(doubt, &folder, None))?;
                }
                match mkdirat(&folder, &part, Mode::RWXU) {
                    // Somebody else was faster, and what is there is looked at.
                    Ok(()) | Err(Errno::EXIST) => left.push_front(part),
                    Err(error) => return Err(error.into()),
                }
                continue;
            }
            opened => opened?,
        };
        let entry_facts = Facts::from(&fstat(&entry)?);
        if entry_facts.kind == FileType::Symlink {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP.into());
            }
            if let Some(trust) = trust {
                let followed = trust.follow(&facts, &entry_facts, started);
                let decides = followed.map_err(|doubt| refusal(doubt, &folder, Some(&part)))?;
                match (decided, decides) {
                    (Some(before), Some(now)) if before != now => {
                        return Err(refusal(Doubt::Link, &folder, Some(&part)));
                    }
                    _ => decided = decided.or(decides),
                }
            }
            let target = readlinkat(&entry, "", Vec::new())?.into_bytes();
            let target = PathBuf::from(OsString::from_vec(target));
            if target.is_absolute() {
                folder = root()?;
                facts = Facts::from(&fstat(&folder)?);
            }
            for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                left.push_front(part);
            }
            continue;
        }
        if left.is_empty() && !is_up {
            return end(folder, facts, part, trust, decided);
        }
        if entry_facts.kind != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        if let Some(trust) = trust.filter(|_| !is_up) {
            let may = trust.enter(&facts, &entry_facts);
            may.map_err(|doubt| refusal(doubt, &folder, None))?;
        }
        folder = entry;
        facts = entry_facts;
    }
    // The path ends in a folder: no file has that name.
    Err(Errno::ISDIR.into())
}

fn end(
    folder: OwnedFd,
    facts: Facts,
    name: OsString,
    trust: Option<&Trust>,
    decided: Option<u32>,
) -> io::Result<End> {
    if let Some(trust) = trust {
        let may = trust.end_in(&facts, decided);
        may.map_err(|doubt| refusal(doubt, &folder, None))?;
    }
    Ok(End {
        folder,
        facts,
        name,
    })
}

fn root() -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/", flags, Mode::empty())?)
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// The path of an open folder, for messages.
pub(super) fn path_of(folder: impl AsFd) -> PathBuf {
    let link = format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd());
    std::fs::read_link(link).unwrap_or_else(|_| "its folder".into())
}

/// Why a path, or the file at its end, is not used, and what to do.
pub(super) fn refusal(doubt: Doubt, folder: impl AsFd, name: Option<&OsStr>) -> io::Error {
    let folder = path_of(folder);
    let entry = name.map_or_else(|| folder.clone(), |name| folder.join(name));
    let (folder, entry) = (folder.display(), entry.display());
    let reason = match doubt {
        Doubt::Folder => format!(
            "not opened with root's rights, since other users can change {folder}; let the app's \
             user write there, or choose a folder that only root can change"
        ),
        Doubt::Link => format!(
            "{entry} is a link in a folder that other users can change; name the file itself"
        ),
        Doubt::Kind => {
            format!("{entry} is not a regular file, and other users can change {folder}")
        }
        Doubt::Owner(uid) => format!(
            "{entry} belongs to user {uid}, and other users can change {folder}; remove the file, \
             or choose another folder"
        ),
        Doubt::Names => format!(
            "{entry} has another name elsewhere, and other users can change {folder}; remove the \
             file, or choose another folder"
        ),
    };
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

/// Whether a path is written as one of a process's descriptors, such as `/dev/stdout`: those are
/// opened as they are, since no user can change the folders on the way.
pub(super) fn is_descriptor(path: &Path) -> bool {
    let number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let parts: Vec<_> = path
        .as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .collect();
    match parts[..] {
        [b"", b"dev", b"stdout" | b"stderr"] => true,
        [b"", b"dev", b"fd", fd] => number(fd),
        [b"", b"proc", pid, b"fd", fd] => (pid == b"self" || number(pid)) && number(fd),
        _ => false,
    }
}
