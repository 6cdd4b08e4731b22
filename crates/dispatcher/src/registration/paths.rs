//! Watches over the paths of Unix listeners: one that others share is not removed, and one that is
//! removed out of the library's sight is put back as long as the listener lives.

use std::io;

use wire::{Outcome, Reply, Request};

use super::super::address::ListenAddress;
use super::super::command::Gone;
use super::super::ids::ListenerId;
use super::super::takeover;
use super::unix_path::{KeptPath, UnixPath};
use super::{PATHS, Registrar};

impl Registrar {
    /// `unlink` of a path that leads to a socket.
    pub(super) fn remove(&mut self, request: &Request, pid: i32) -> Result<Reply, Gone> {
        let device = u64::from(request.arg2.cast_unsigned()) << 32;
        let device = device | u64::from(request.arg.cast_unsigned());
        let inode = request.channel;
        let mut paths = self.paths.iter_mut();
        let kept = paths.find(|(_, kept)| kept.path.is(device, inode));
        let shared = match kept {
            Some((listener, kept)) => {
                let listener = *listener;
                let shared = self.claims.is_wanted(&kept.address, pid)
                    || self
                        .dispatcher
                        .run(move |cx| cx.members.serves_others(listener, pid))?;
                if !shared {
                    kept.path.give_up();
                    self.dispatcher
                        .run(move |cx| takeover::forget_path(listener, cx))?;
                }
                shared
            }
            None => self.claims.path_is_wanted(device, inode, pid),
        };
        Ok(Reply::plain(if shared {
            Outcome::Done
        } else {
            Outcome::Native
        }))
    }

    /// Keeps the path of a listener.
    pub(super) fn keep_path(
        &mut self,
        listener: ListenerId,
        address: ListenAddress,
        path: UnixPath,
    ) {
        let note = path.note();
        // A dispatcher that has ended needs no notes.
        let _ = self
            .dispatcher
            .run(move |cx| takeover::keep_path(listener, note, cx));
        self.watch_path(listener, KeptPath { address, path });
    }

    /// Watches over the path of a listener.
    pub(super) fn watch_path(&mut self, listener: ListenerId, kept: KeptPath) {
        // A folder that cannot be watched is one whose paths are mortal.
        let _ = self.watch_folder_of(&kept.path);
        self.paths.insert(listener, kept);
    }

    fn watch_folder_of(&mut self, path: &UnixPath) -> io::Result<()> {
        use rustix::fs::inotify;
        if self.inotify.is_none() {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let watched = inotify::init(flags)?;
            self.watch(&watched, PATHS)?;
            self.inotify = Some(watched);
        }
        if let Some(watched) = &self.inotify {
            let events = inotify::WatchFlags::DELETE | inotify::WatchFlags::MOVED_FROM;
            let folder = path.folder();
            path.rights()
                .act(|| inotify::add_watch(watched, folder, events))??;
        }
        Ok(())
    }

    /// Something was removed in a folder with a listener's path.
    pub(super) fn restore_paths(&mut self) -> Result<(), Gone> {
        let mut bytes = [0; 4096];
        while let Some(watched) = &self.inotify
            && matches!(rustix::io::read(watched, &mut bytes), Ok(len) if len > 0)
        {}
        // After the last worker has closed it, it is to be gone.
        for listener in self.dispatcher.run(|cx| cx.listeners.that_stay())? {
            if let Some(kept) = self.paths.get(&listener) {
                kept.path.restore();
            }
        }
        Ok(())
    }
}
