//! The folders that the kernel watches for us (inotify), each by itself, so that what is ignored
//! costs nothing.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use sys::Readable;

use super::Problem;
use super::ignore::Ignore;
use super::links;

/// What is a change: a file that was written is told of when it is closed.
const CHANGES: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR);

/// Something that happened in a folder.
struct Event {
    folder: i32,
    what: ReadFlags,
    name: Option<OsString>,
}

/// A folder that is watched.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Only these of its files; all, if there are none.
    only: Vec<OsString>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Folders {
    inotify: Readable,
    ignore: Ignore,
    follow_links: bool,
    roots: Vec<PathBuf>,
    /// The links by which the roots are reached: where one leads may change, as deploys do it.
    links: BTreeSet<PathBuf>,
    folders: HashMap<i32, Folder>,
    pub(super) problems: Vec<Problem>,
}

impl Folders {
    /// Watches files and folders, with all that is in these. Needs tokio's reactor.
    ///
    /// # Errors
    /// If the kernel refuses to watch at all.
    pub(super) fn new(roots: &[PathBuf], ignore: Ignore, follow_links: bool) -> io::Result<Self> {
        let inotify: OwnedFd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut folders = Self {
            inotify: Readable::new(inotify)?,
            ignore,
            follow_links,
            roots: roots.to_owned(),
            links: BTreeSet::new(),
            folders: HashMap::new(),
            problems: Vec::new(),
        };
        folders.watch_roots();
        Ok(folders)
    }

    /// How many folders are watched.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.folders.len()
    }

    /// Waits for changes; their paths. Loses nothing when it is dropped while it waits.
    ///
    /// # Errors
    /// Those of inotify.
    pub(super) async fn changes(&mut self) -> io::Result<Vec<PathBuf>> {
        let events = self.inotify.read(read_events).await?;
        let mut changes = Vec::new();
        for event in events {
            self.happened(&event, &mut changes);
        }
        Ok(changes)
    }

    fn watch_roots(&mut self) {
        for root in self.roots.clone() {
            for link in links::on_the_way(&root) {
                self.watch_file(&link);
                self.links.insert(link);
            }
            match fs::metadata(&root) {
                Ok(meta) if meta.is_dir() => self.watch_tree(root, &mut Vec::new()),
                Ok(_) => self.watch_file(&root),
                Err(error) => self.problems.push(Problem::NotWatched {
                    path: root,
                    reason: error.to_string(),
                }),
            }
        }
    }

    /// Watches everything anew: where things are has changed.
    fn renew(&mut self) {
        let before = std::mem::take(&mut self.folders);
        self.links.clear();
        self.watch_roots();
        for watch in before.into_keys() {
            if !self.folders.contains_key(&watch) {
                // It may be gone already.
                let _ = inotify::remove_watch(&self.inotify, watch);
            }
        }
    }

    /// A file is watched in its folder, as editors put a new one in its place.
    fn watch_file(&mut self, path: &Path) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        if let Some(watch) = self.add(folder) {
            let folder = self.folders.entry(watch).or_insert_with(|| Folder {
                path: folder.to_owned(),
                only: vec![name.to_owned()],
            });
            if !folder.only.is_empty() {
                folder.only.push(name.to_owned());
            }
        }
    }

    /// Watches a folder with all folders in it; notes the files that are found.
    fn watch_tree(&mut self, top: PathBuf, found: &mut Vec<PathBuf>) {
        let mut waiting = vec![top];
        while let Some(path) = waiting.pop() {
            let Some(watch) = self.add(&path) else {
                continue;
            };
            let known = self.folders.get(&watch);
            if known.is_some_and(|known| known.only.is_empty() && known.path.is_dir()) {
                // Links lead to it too, perhaps in a circle.
                continue;
            }
            let folder = Folder {
                path: path.clone(),
                only: Vec::new(),
            };
            self.folders.insert(watch, folder);
            // Read after it is watched: what is made meanwhile is seen one way or the other.
            let Ok(entries) = fs::read_dir(&path) else {
                continue;
            };
            for entry in entries.flatten() {
                let path = entry.path();
                if self.ignore.covers(&path) {
                    continue;
                }
                if self.is_folder(&path) {
                    waiting.push(path);
                } else {
                    found.push(path);
                }
            }
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        let meta = if self.follow_links {
            fs::metadata(path)
        } else {
            fs::symlink_metadata(path)
        };
        meta.is_ok_and(|meta| meta.is_dir())
    }

    fn add(&mut self, path: &Path) -> Option<i32> {
        match inotify::add_watch(&self.inotify, path, CHANGES) {
            Ok(watch) => Some(watch),
            // It was there a moment ago.
            Err(Errno::NOENT | Errno::NOTDIR) => None,
            Err(Errno::NOSPC) => {
                let problem = Problem::Limit {
                    watched: self.folders.len(),
                };
                if !matches!(self.problems.last(), Some(Problem::Limit { .. })) {
                    self.problems.push(problem);
                }
                None
            }
            Err(error) => {
                self.problems.push(Problem::NotWatched {
                    path: path.to_owned(),
                    reason: io::Error::from(error).to_string(),
                });
                None
            }
        }
    }

    fn happened(&mut self, event: &Event, changes: &mut Vec<PathBuf>) {
        if event.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            // What was lost may be anything: all is looked at again.
            self.renew();
            changes.extend(self.roots.first().cloned());
            return;
        }
        if event.what.contains(ReadFlags::IGNORED) {
            self.forget(event.folder);
            return;
        }
        let Some(folder) = self.folders.get(&event.folder) else {
            return;
        };
        let Some(name) = &event.name else {
            // The folder itself has gone.
            let gone = folder.path.clone();
            if self.roots.contains(&gone) {
                self.problems.push(Problem::NotWatched {
                    path: gone,
                    reason: "it was moved or removed".to_owned(),
                });
            }
            return;
        };
        let path = folder.path.join(name);
        let appeared = ReadFlags::CREATE | ReadFlags::MOVED_TO;
        if self.links.contains(&path) {
            // While it is not there, the next one is waited for.
            if event.what.intersects(appeared) {
                self.renew();
                changes.push(path);
            }
            return;
        }
        if self.ignore.covers(&path) || !(folder.only.is_empty() || folder.only.contains(name)) {
            return;
        }
        if event.what.intersects(appeared) && self.is_link_to_folder(&path) {
            // Where it led before is watched no more, unless there is another way to it.
            self.renew();
        } else if event.what.contains(ReadFlags::ISDIR) {
            if event.what.contains(ReadFlags::MOVED_FROM) {
                self.forget_tree(&path);
            } else if event.what.intersects(appeared) {
                // An empty folder is no change yet; what is in it is.
                self.watch_tree(path, changes);
                return;
            }
        }
        changes.push(path);
    }

    fn is_link_to_folder(&self, path: &Path) -> bool {
        self.follow_links && path.is_symlink() && path.is_dir()
    }

    /// A folder that was moved away is watched no more.
    fn forget_tree(&mut self, path: &Path) {
        let inside = |folder: &Folder| folder.path.starts_with(path);
        let gone: Vec<_> = self
            .folders
            .extract_if(|_, folder| inside(folder))
            .collect();
        for (watch, _) in gone {
            // It may have been removed at its new place.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }

    fn forget(&mut self, watch: i32) {
        self.folders.remove(&watch);
    }
}

fn read_events(inotify: BorrowedFd<'_>) -> io::Result<Vec<Event>> {
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => events.push(Event {
                folder: event.wd(),
                what: event.events(),
                name: event
                    .file_name()
                    .map(|name| OsStr::from_bytes(name.to_bytes()).to_owned()),
            }),
            Err(Errno::INTR) => continue,
            Err(_) if !events.is_empty() => return Ok(events),
            Err(error) => return Err(error.into()),
        }
        if reader.is_buffer_empty() {
            return Ok(events);
        }
    }
}
