//! Following what happens to apps: those that run, and those that start later.
//!
//! Nothing polls: the kernel tells of new folders of apps, and of new control sockets in them. Only a
//! supervisor that starts at this moment, and does not listen yet, is tried again soon.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::{Known, all, select};
use home::control::{Fault, Subscription, Told};
use home::{AppFolder, CONTROL, Home};
use telemetry::ids::{Instance, InstanceId};

/// How often a supervisor is tried that does not listen yet.
const AGAIN: Duration = Duration::from_millis(100);

/// The events of apps.
#[derive(Debug)]
pub(crate) struct Following<'a> {
    home: &'a Home,
    targets: &'a [String],
    /// Since when events are wanted, in milliseconds since 1970.
    since: u64,
    inotify: OwnedFd,
    /// Folders that are watched, by the number of the watch: that of all apps, and those of apps.
    watched: BTreeMap<i32, PathBuf>,
    sources: Vec<Source>,
    /// Those whose supervisor does not let us follow it.
    refused: BTreeSet<PathBuf>,
}

/// An app that is followed.
#[derive(Debug)]
struct Source {
    known: Known,
    /// The numbers of the instances that are meant, within the app; `None` for all.
    instances: Option<Vec<Instance>>,
    subscription: Subscription,
}

/// What has come of waiting.
#[derive(Debug)]
pub(crate) enum News {
    /// Something has happened to an app, or to these instances of it.
    Told {
        known: Known,
        instances: Option<Vec<Instance>>,
        told: Told,
    },
    /// An app cannot be followed.
    Fault { known: Known, fault: Fault },
}

impl<'a> Following<'a> {
    /// Follows what the targets mean, now or later.
    ///
    /// # Errors
    /// If a target means nothing, or the kernel does not watch the home.
    pub(crate) fn new(home: &'a Home, targets: &'a [String], since: u64) -> anyhow::Result<Self> {
        select(&all(home)?, targets)?;
        home.create()?;
        Ok(Self {
            home,
            targets,
            since,
            inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(limit)?,
            watched: BTreeMap::new(),
            sources: Vec::new(),
            refused: BTreeSet::new(),
        })
    }

    /// How many apps are followed now.
    pub(crate) fn count(&self) -> usize {
        self.sources.len()
    }

    /// Looks which apps there are, and follows those that are new; what went wrong, and whether one is
    /// about to be there.
    ///
    /// # Errors
    /// If the home cannot be watched or read.
    pub(crate) fn look(&mut self) -> anyhow::Result<(Vec<News>, bool)> {
        while self.watch()? {}
        let (mut news, mut soon) = (Vec::new(), false);
        let known = all(self.home)?;
        for target in self.targets {
            // What a target means may be gone, and come again.
            for one in select(&known, std::slice::from_ref(target)).unwrap_or_default() {
                let folder = &one.known.folder;
                let same = |source: &Source| source.known.folder == *folder;
                if self.sources.iter().any(same) || self.refused.contains(folder.path()) {
                    continue;
                }
                let Ok(socket) = folder.connect() else {
                    soon |= folder.is_claimed();
                    continue;
                };
                match Subscription::new(socket, self.since) {
                    Ok(subscription) => self.sources.push(Source {
                        instances: instances_of(&one.known, one.ids.as_deref()),
                        known: one.known,
                        subscription,
                    }),
                    Err(Fault::Gone) => soon = true,
                    Err(fault) => {
                        self.refused.insert(folder.path().to_owned());
                        let known = one.known;
                        news.push(News::Fault { known, fault });
                    }
                }
            }
        }
        Ok((news, soon))
    }

    /// Watches the folder of all apps, and each app's; whether one is new.
    fn watch(&mut self) -> anyhow::Result<bool> {
        let folders = self.home.apps()?;
        let folders = folders.iter().map(AppFolder::path);
        let mut new = false;
        for path in [&*self.home.apps_folder()].into_iter().chain(folders) {
            // A folder that is watched already keeps its number; a new one of the same name, while the
            // old one is still being removed, gets another one.
            let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            match inotify::add_watch(&self.inotify, path, flags) {
                Ok(number) => {
                    new |= self.watched.insert(number, path.to_owned()).is_none();
                }
                // It is gone again, or another user's.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
                Err(error) => return Err(limit(error)),
            }
        }
        Ok(new)
    }

    /// Waits until something has happened, and for no longer than a moment if a supervisor is about
    /// to listen (`soon`). `None` when nobody listens any more at the other end of `out`. Whether it
    /// is time to look again which apps there are comes with the news.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub(crate) fn wait(
        &mut self,
        out: BorrowedFd<'_>,
        soon: bool,
    ) -> anyhow::Result<Option<(Vec<News>, bool)>> {
        let mut fds = vec![
            // Asked for nothing, it tells of its end all the same.
            PollFd::from_borrowed_fd(out, PollFlags::empty()),
            PollFd::new(&self.inotify, PollFlags::IN),
        ];
        let sources = self.sources.iter();
        fds.extend(sources.map(|it| PollFd::new(&it.subscription, PollFlags::IN)));
        let limit = match soon {
            true => Timespec::try_from(AGAIN).ok(),
            false => None,
        };
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(anyhow::Error::new(error).context("waiting for events")),
        }
        let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready.first() == Some(&true) {
            return Ok(None);
        }
        let (news, ended) = self.read(ready.get(2..).unwrap_or(&[]));
        let looks = self.hears_of_new()? || ended || soon;
        Ok(Some((news, looks)))
    }

    /// What those say that have something to say, and whether one of them has ended.
    fn read(&mut self, ready: &[bool]) -> (Vec<News>, bool) {
        let (mut news, mut ended) = (Vec::new(), false);
        let sources = std::mem::take(&mut self.sources);
        for (at, mut source) in sources.into_iter().enumerate() {
            if ready.get(at) != Some(&true) {
                self.sources.push(source);
                continue;
            }
            let (told, result) = source.subscription.read();
            news.extend(told.into_iter().map(|told| News::Told {
                known: source.known.clone(),
                instances: source.instances.clone(),
                told,
            }));
            match result {
                Ok(()) => self.sources.push(source),
                // What takes its place is found.
                Err(Fault::Gone | Fault::Leaving(_)) => ended = true,
                Err(fault) => {
                    let known = source.known;
                    self.refused.insert(known.folder.path().to_owned());
                    news.push(News::Fault { known, fault });
                }
            }
        }
        (news, ended)
    }

    /// Whether there may be an app, or a supervisor, that was not there before.
    fn hears_of_new(&mut self) -> anyhow::Result<bool> {
        let mut new = false;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(self.inotify.as_fd(), &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(new),
                Err(error) => return Err(limit(error)),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                self.refused.clear();
                new = true;
            }
            if event.events().contains(ReadFlags::IGNORED) {
                // The folder is gone.
                self.watched.remove(&event.wd());
                continue;
            }
            let Some(folder) = self.watched.get(&event.wd()) else {
                continue;
            };
            let name = event.file_name().map(|name| name.to_bytes());
            if name == Some(CONTROL.as_bytes()) {
                self.refused.remove(folder);
                new = true;
            }
            new |= name.is_some() && *folder == self.home.apps_folder();
        }
    }
}

/// The numbers within the app of those instances.
fn instances_of(known: &Known, ids: Option<&[InstanceId]>) -> Option<Vec<Instance>> {
    let ids = ids?;
    let instances = known.record.instances.iter();
    let meant = instances.filter(|kept| ids.contains(&kept.id));
    Some(meant.map(|kept| kept.instance).collect())
}

/// Why the kernel does not watch, and what helps.
fn limit(error: Errno) -> anyhow::Error {
    match error {
        Errno::MFILE => anyhow::anyhow!(
            "this user watches too many things already: raise fs.inotify.max_user_instances (sysctl)"
        ),
        Errno::NOSPC => anyhow::anyhow!(
            "this user watches too many files already: raise fs.inotify.max_user_watches (sysctl)"
        ),
        error => anyhow::Error::new(error).context("watching the home folder"),
    }
}
