//! `--watch`: an app is restarted when its files change.
//!
//! The kernel tells of changes (inotify); nothing polls. Folders that are ignored are not watched
//! at all. A change is told when nothing has changed for the delay that the user set.
//!
//! For the supervisor: a [`Watcher`] while the app runs and is watched, whose [`Watcher::changed`]
//! is one arm of its loop; each [`Change`] restarts the app's instances. [`Watcher::problems`]
//! after making one, and after each change, gives what the user should know. A stopped app drops
//! its watcher.

mod folders;
mod ignore;
mod links;
mod quiet;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use folders::Folders;
use ignore::Ignore;
pub use quiet::Change;
use quiet::Quiet;

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct Settings<'a> {
    /// Files and folders, with all that is in these.
    pub paths: &'a [PathBuf],
    /// Patterns of what is not watched: of names, or of paths against `cwd`.
    pub ignore: &'a [String],
    pub cwd: &'a Path,
    /// Files that we write ourselves: logs, pid files.
    pub own: Vec<PathBuf>,
    /// How long nothing must have changed.
    pub delay: Duration,
    /// Whether links to folders are followed.
    pub follow_links: bool,
}

/// Something that is not watched as the user may expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// This is not watched.
    NotWatched { path: PathBuf, reason: String },
    /// The kernel watches no more folders than these.
    Limit { watched: usize },
    /// A pattern cannot be read, and is not applied.
    BadPattern { pattern: String },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWatched { path, reason } => {
                let path = path.to_string_lossy();
                write!(f, "{} is not watched: {reason}", path.escape_debug())
            }
            Self::Limit { watched } => write!(
                f,
                "only {watched} folders are watched, the kernel allows no more: raise \
                 fs.inotify.max_user_watches (sysctl), or name what need not be watched with \
                 --ignore-watch"
            ),
            Self::BadPattern { pattern } => write!(
                f,
                "\"{}\" is no pattern, and keeps nothing from being watched; expected a name, a path \
                 or a glob such as \"logs/**\"",
                pattern.escape_debug()
            ),
        }
    }
}

/// What the user can be told before anything is watched: of paths that are not there, and of
/// patterns that cannot be read.
pub fn foreseen(paths: &[PathBuf], ignore: &[String], cwd: &Path) -> Vec<Problem> {
    let gone = paths.iter().filter_map(|path| {
        let error = path.metadata().err()?;
        Some(Problem::NotWatched {
            path: path.clone(),
            reason: error.to_string(),
        })
    });
    let (_, bad) = Ignore::new(ignore, cwd, Vec::new());
    let bad = bad.into_iter();
    gone.chain(bad.map(|pattern| Problem::BadPattern { pattern }))
        .collect()
}

/// Watches the files of an app.
#[derive(Debug)]
pub struct Watcher {
    folders: Folders,
    quiet: Quiet,
    started: Instant,
}

impl Watcher {
    /// Begins to watch. Needs tokio's reactor.
    ///
    /// # Errors
    /// If the kernel refuses to watch at all.
    pub fn new(settings: &Settings<'_>) -> io::Result<Self> {
        let own = settings.own.clone();
        let (ignore, bad) = Ignore::new(settings.ignore, settings.cwd, own);
        let mut folders = Folders::new(settings.paths, ignore, settings.follow_links)?;
        let bad = bad.into_iter();
        let problems = bad.map(|pattern| Problem::BadPattern { pattern });
        folders.problems.extend(problems);
        Ok(Self {
            folders,
            quiet: Quiet::new(settings.delay),
            started: Instant::now(),
        })
    }

    /// Waits for the next change. Loses nothing when it is dropped while it waits.
    ///
    /// # Errors
    /// If the kernel does not watch any more.
    pub async fn changed(&mut self) -> io::Result<Change> {
        loop {
            if let Some(change) = self.quiet.take(self.started.elapsed()) {
                return Ok(change);
            }
            let due = self.quiet.due();
            tokio::select! {
                changes = self.folders.changes() => {
                    let now = self.started.elapsed();
                    for path in changes? {
                        self.quiet.changed(path, now);
                    }
                }
                () = until(self.started, due) => {}
            }
        }
    }

    /// How many folders are watched.
    #[cfg(test)]
    pub(crate) fn folders(&self) -> usize {
        self.folders.count()
    }

    /// What the user should know, and has not been told.
    pub fn problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.folders.problems)
    }
}

async fn until(started: Instant, due: Option<Duration>) {
    match due {
        Some(due) => tokio::time::sleep_until((started + due).into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn in_runtime<T>(test: impl AsyncFnOnce(&Path) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let patience = Duration::from_secs(30);
        runtime.block_on(async {
            tokio::time::timeout(patience, test(folder.path()))
                .await
                .unwrap()
        })
    }

    fn watch(paths: &[PathBuf], cwd: &Path) -> Watcher {
        Watcher::new(&Settings {
            paths,
            ignore: &[".*".to_owned(), "node_modules".to_owned()],
            cwd,
            own: vec![cwd.join("logs/a-out.log")],
            delay: Duration::ZERO,
            follow_links: true,
        })
        .unwrap()
    }

    fn write(path: PathBuf) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    /// All that is told until a file changes that marks the end.
    async fn until_mark(watcher: &mut Watcher, cwd: &Path) -> Vec<PathBuf> {
        write(cwd.join("mark"));
        let mut told = Vec::new();
        loop {
            for path in watcher.folders.changes().await.unwrap() {
                if path == cwd.join("mark") {
                    return told;
                }
                told.push(path);
            }
        }
    }

    #[test]
    fn changes_are_told_and_what_is_ignored_is_not() {
        in_runtime(async |cwd| {
            for path in [
                "src/a.js",
                "node_modules/x/y/z.js",
                ".git/HEAD",
                "logs/a-out.log",
            ] {
                write(cwd.join(path));
            }
            let mut watcher = watch(&[cwd.to_owned()], cwd);
            assert_eq!(watcher.folders(), 3);
            write(cwd.join("node_modules/x/new.js"));
            write(cwd.join(".git/index"));
            write(cwd.join(".env"));
            write(cwd.join("logs/a-out.log"));
            write(cwd.join("logs/a-out__2026-03-07_09-05-03.log"));
            assert_eq!(until_mark(&mut watcher, cwd).await, [] as [PathBuf; 0]);
            write(cwd.join("src/a.js"));
            fs::remove_file(cwd.join("src/a.js")).unwrap();
            let path = cwd.join("src/a.js");
            let told = until_mark(&mut watcher, cwd).await;
            // The mark itself was there before: one of its events may be left.
            let told: Vec<_> = told.into_iter().filter(|told| *told == path).collect();
            assert_eq!(told.len(), 2);
            assert_eq!(watcher.problems(), []);
        });
    }

    #[test]
    fn new_folders_are_watched_and_moved_ones_no_more() {
        in_runtime(async |cwd| {
            let mut watcher = watch(&[cwd.join("src")], cwd);
            assert!(matches!(
                watcher.problems()[..],
                [Problem::NotWatched { .. }]
            ));
            fs::create_dir(cwd.join("src")).unwrap();
            let mut watcher = watch(&[cwd.join("src")], cwd);
            write(cwd.join("src/new/deep/a.js"));
            let change = watcher.changed().await.unwrap();
            assert!(change.path.starts_with(cwd.join("src/new")));
            while watcher.folders() < 3 {
                watcher.changed().await.unwrap();
            }
            fs::rename(cwd.join("src/new"), cwd.join("away")).unwrap();
            while watcher.folders() > 1 {
                watcher.changed().await.unwrap();
            }
        });
    }

    #[test]
    fn a_single_file_is_watched_also_when_it_is_replaced() {
        in_runtime(async |cwd| {
            write(cwd.join("server.js"));
            let mut watcher = watch(&[cwd.join("server.js")], cwd);
            write(cwd.join("other.js"));
            write(cwd.join("new"));
            fs::rename(cwd.join("new"), cwd.join("server.js")).unwrap();
            let change = watcher.changed().await.unwrap();
            let path = cwd.join("server.js");
            assert_eq!(change, Change { path, others: 0 });
        });
    }

    /// As deploys do it: a link to the release that runs is replaced by one to the next.
    #[test]
    fn a_link_that_leads_elsewhere_is_a_change() {
        in_runtime(async |cwd| {
            for release in ["1", "2", "3"] {
                write(cwd.join("releases").join(release).join("src/a.js"));
            }
            let current = cwd.join("current");
            let swap = |release: &str| {
                let next = cwd.join("next");
                symlink(format!("releases/{release}"), &next).unwrap();
                fs::rename(next, &current).unwrap();
            };
            swap("1");
            let mut outside = watch(std::slice::from_ref(&current), &current);
            let mut below = watch(&[current.join("src")], &current);
            let mut around = watch(&[cwd.to_owned()], cwd);
            assert_eq!(outside.folders(), 3);
            swap("2");
            for watcher in [&mut outside, &mut below, &mut around] {
                until_told(watcher, &current).await;
                assert_eq!(watcher.problems(), []);
            }
            // What was there before is watched no more, and what is there now is.
            assert_eq!(outside.folders(), 3);
            write(cwd.join("releases/1/src/a.js"));
            write(cwd.join("releases/2/src/a.js"));
            let file = current.join("src/a.js");
            for watcher in [&mut outside, &mut below] {
                let changes = watcher.folders.changes().await.unwrap();
                assert_eq!(changes, std::slice::from_ref(&file));
            }
            // Removed first, and made again.
            fs::remove_file(&current).unwrap();
            symlink("releases/3", &current).unwrap();
            until_told(&mut outside, &current).await;
            assert_eq!(outside.problems(), []);
            write(cwd.join("releases/3/new.js"));
            until_told(&mut outside, &current.join("new.js")).await;
        });
    }

    async fn until_told(watcher: &mut Watcher, path: &Path) {
        while !watcher
            .folders
            .changes()
            .await
            .unwrap()
            .iter()
            .any(|it| it == path)
        {}
    }

    #[test]
    fn links_in_a_circle_end() {
        in_runtime(async |cwd| {
            write(cwd.join("a/b/c.js"));
            symlink(cwd, cwd.join("a/b/back")).unwrap();
            symlink(cwd.join("a"), cwd.join("again")).unwrap();
            let mut watcher = watch(&[cwd.to_owned()], cwd);
            write(cwd.join("a/b/c.js"));
            let change = watcher.changed().await.unwrap();
            assert!(change.path.ends_with("b/c.js"));
        });
    }
}
