//! Watches over the paths of Unix listeners: one that a worker, or somebody else, removes is put
//! back as long as the listener lives.

use std::io;
use std::path::PathBuf;

use rustix::event::epoll;

use super::token::Token;
use super::turn::Turn;

impl Turn {
    /// Watches the folder of a listener's path.
    pub(super) fn watch_folder_of(&mut self, path: PathBuf) -> io::Result<()> {
        use rustix::fs::inotify;
        let Some(folder) = path.parent() else {
            return Ok(());
        };
        if self.paths.is_none() {
            let paths =
                inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
            let data = Token::Paths.data();
            epoll::add(&*self.epoll, &paths, data, epoll::EventFlags::IN)?;
            self.paths = Some(paths);
        }
        if let Some(paths) = &self.paths {
            let events = inotify::WatchFlags::DELETE | inotify::WatchFlags::MOVED_FROM;
            inotify::add_watch(paths, folder, events)?;
        }
        Ok(())
    }

    /// Something was removed in a folder with a listener's path.
    pub(super) fn restore_paths(&mut self) {
        let mut bytes = [0; 4096];
        while let Some(paths) = &self.paths
            && matches!(rustix::io::read(paths, &mut bytes), Ok(len) if len > 0)
        {}
        for listener in self.listeners.all.values() {
            // After the last worker has closed it, it is to be gone.
            if let Some(path) = &listener.path
                && listener.closing.is_none()
                && !self.closed
            {
                path.restore();
            }
        }
    }
}
