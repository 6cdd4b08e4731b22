//! Which parts of a path can be trusted: pure decisions over what the kernel says of them.
//!
//! systemd calls the idea a safe transition, logrotate speaks of insecure permissions. A folder that
//! only root and this user can change holds nothing that another user has put there, so its links
//! are followed. In any other folder a link may lead wherever its owner likes: it is followed only
//! as far as that owner's own folders.

use std::time::Duration;

use rustix::fs::{FileType, Stat};
use sys::Identity;

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// What the kernel knows it by.
    pub(super) inode: (u64, u64),
    pub(super) kind: FileType,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    /// How many names it has.
    pub(super) links: u64,
    /// When its content changed, and when anything of it did: another name is a change too.
    pub(super) modified: Duration,
    pub(super) changed: Duration,
}

impl From<&Stat> for Facts {
    fn from(stat: &Stat) -> Self {
        let time = |seconds, nanos| {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            Duration::new(seconds, u32::try_from(nanos).unwrap_or(0))
        };
        Self {
            inode: (stat.st_dev, stat.st_ino),
            kind: FileType::from_raw_mode(stat.st_mode),
            uid: super::outside::owner(stat.st_uid),
            gid: stat.st_gid,
            mode: stat.st_mode,
            links: stat.st_nlink,
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl Facts {
    pub(super) fn is_sticky(&self) -> bool {
        self.mode & 0o1000 != 0
    }

    /// Whether it has had this one name since `since`, by the kernel's coarse clock: nobody has
    /// linked it here for a moment from a folder of somebody else. A write is no such change.
    fn has_one_name(&self, since: Duration) -> bool {
        self.links == 1 && (self.changed < since || self.changed == self.modified)
    }
}

/// Why a path is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The app's user, or everybody, can change this folder.
    Folder,
    /// A link in this folder leads where its owner does not reign.
    Link,
    /// The file is not a regular one.
    Kind,
    /// The file belongs to a user who does not own its folder.
    Owner(u32),
    /// The file has another name somewhere else.
    Names,
}

/// Whom this process trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    /// This user; root is trusted as well.
    pub(super) uid: u32,
    /// The user of an app, who may not be able to change any folder of the path.
    pub(super) against: Option<Identity>,
}

impl Trust {
    pub(super) fn is_trusted(&self, uid: u32) -> bool {
        uid == 0 || uid == self.uid
    }

    /// Whether others than root and this user can put entries into a folder. An ordinary user's
    /// folder that a group may write is shared on purpose; root's trusts no group but its own.
    pub(super) fn others_change(&self, folder: &Facts) -> bool {
        let by_group = folder.mode & 0o020 != 0 && self.uid == 0 && folder.gid != 0;
        !self.is_trusted(folder.uid) || folder.mode & 0o002 != 0 || by_group
    }

    /// Whether the app's user can, or everybody.
    fn app_changes(&self, folder: &Facts) -> bool {
        let Some(app) = &self.against else {
            return false;
        };
        let theirs = app.gid == folder.gid || app.groups.contains(&folder.gid);
        let by_group = folder.mode & 0o020 != 0 && theirs;
        !self.is_trusted(folder.uid) || folder.mode & 0o002 != 0 || by_group
    }

    /// Whether a link may be followed, and who decides then where the path leads, if it is not us.
    ///
    /// # Errors
    /// If it may not.
    pub(super) fn follow(
        &self,
        folder: &Facts,
        link: &Facts,
        now: Duration,
    ) -> Result<Option<u32>, Doubt> {
        if !self.others_change(folder) {
            return Ok(None);
        }
        let trusted = self.is_trusted(link.uid);
        if trusted && folder.is_sticky() && link.has_one_name(now) {
            return Ok(None);
        }
        // What is ours in another's folder may have been moved there.
        let decides = if trusted { folder.uid } else { link.uid };
        if self.against.is_some() || self.is_trusted(decides) {
            return Err(Doubt::Link);
        }
        Ok(Some(decides))
    }

    /// Whether the path may go on in a folder that was found in another one.
    ///
    /// # Errors
    /// If it may not.
    pub(super) fn enter(&self, folder: &Facts, next: &Facts) -> Result<(), Doubt> {
        let kept = folder.is_sticky() && self.is_trusted(next.uid);
        if self.app_changes(folder) && !kept {
            return Err(Doubt::Folder);
        }
        Ok(())
    }

    /// Whether the path may end in a folder, after `decided` has led it there.
    ///
    /// # Errors
    /// If it may not.
    pub(super) fn end_in(&self, folder: &Facts, decided: Option<u32>) -> Result<(), Doubt> {
        if self.app_changes(folder) {
            return Err(Doubt::Folder);
        }
        match decided {
            Some(uid) if uid != folder.uid => Err(Doubt::Link),
            _ => Ok(()),
        }
    }

    /// Whether a file that was there already may be used: in a folder that others can change, what
    /// stands under a name may be anything.
    ///
    /// # Errors
    /// If it may not.
    pub(super) fn use_file(
        &self,
        folder: &Facts,
        file: &Facts,
        now: Duration,
    ) -> Result<(), Doubt> {
        if !self.others_change(folder) {
            return Ok(());
        }
        if file.kind != FileType::RegularFile {
            return Err(Doubt::Kind);
        }
        if !self.is_trusted(file.uid) && file.uid != folder.uid {
            return Err(Doubt::Owner(file.uid));
        }
        if !file.has_one_name(now) {
            return Err(Doubt::Names);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u32 = 1000;
    const APP: u32 = 33;
    const THEM: u32 = 1001;
    const NOW: Duration = Duration::from_secs(100);

    fn facts(kind: FileType, uid: u32, gid: u32, mode: u32) -> Facts {
        let before = Duration::from_secs(50);
        Facts {
            inode: (0, 0),
            kind,
            uid,
            gid,
            mode,
            links: 1,
            modified: before,
            changed: before,
        }
    }

    fn folder(uid: u32, gid: u32, mode: u32) -> Facts {
        facts(FileType::Directory, uid, gid, mode)
    }

    fn link(uid: u32) -> Facts {
        facts(FileType::Symlink, uid, uid, 0o777)
    }

    fn ours(uid: u32) -> Trust {
        Trust { uid, against: None }
    }

    fn strict() -> Trust {
        let against = Some(Identity {
            uid: APP,
            gid: APP,
            groups: vec![APP, 50],
        });
        Trust { uid: 0, against }
    }

    #[test]
    fn who_can_change_a_folder() {
        // Owner, group, mode; for root, and for an ordinary user.
        for (uid, gid, mode, root, user) in [
            (0, 0, 0o755, false, false),
            (0, 0, 0o775, false, false),
            (0, 104, 0o775, true, false),
            (0, 0, 0o1777, true, true),
            (US, US, 0o755, true, false),
            (US, US, 0o775, true, false),
            (US, US, 0o777, true, true),
            (THEM, THEM, 0o700, true, true),
        ] {
            let of = folder(uid, gid, mode);
            let shown = format!("{uid} {gid} {mode:o}");
            assert_eq!(ours(0).others_change(&of), root, "{shown}");
            assert_eq!(ours(US).others_change(&of), user, "{shown}");
        }
    }

    #[test]
    fn where_links_may_lead() {
        let plain = folder(0, 0, 0o755);
        let sticky = folder(0, 0, 0o1777);
        let shared = folder(0, 0, 0o777);
        let theirs = folder(THEM, THEM, 0o755);
        for (from, owner, user, strictly) in [
            (plain, 0, Ok(None), Ok(None)),
            (plain, THEM, Ok(None), Ok(None)),
            (sticky, 0, Ok(None), Ok(None)),
            (sticky, THEM, Ok(Some(THEM)), Err(Doubt::Link)),
            (shared, THEM, Ok(Some(THEM)), Err(Doubt::Link)),
            (shared, 0, Err(Doubt::Link), Err(Doubt::Link)),
            (theirs, THEM, Ok(Some(THEM)), Err(Doubt::Link)),
            (theirs, 0, Ok(Some(THEM)), Err(Doubt::Link)),
        ] {
            let shown = format!("{from:?} {owner}");
            let followed = ours(US).follow(&from, &link(owner), NOW);
            assert_eq!(followed, user, "{shown}");
            let followed = strict().follow(&from, &link(owner), NOW);
            assert_eq!(followed, strictly, "{shown}");
        }
        // What somebody leads us to is used only if it is that user's.
        assert_eq!(ours(US).end_in(&theirs, Some(THEM)), Ok(()));
        let mine = folder(US, US, 0o700);
        assert_eq!(ours(US).end_in(&mine, Some(THEM)), Err(Doubt::Link));
        assert_eq!(ours(US).end_in(&mine, None), Ok(()));
    }

    /// A link that somebody has just given a second name may be one of root's.
    #[test]
    fn a_name_that_has_just_come_is_not_believed() {
        let sticky = folder(0, 0, 0o1777);
        for (links, changed) in [(2, 50), (1, 100), (1, 101)] {
            let mut root_s = link(0);
            root_s.links = links;
            root_s.changed = Duration::from_secs(changed);
            let followed = ours(US).follow(&sticky, &root_s, NOW);
            assert_eq!(followed, Err(Doubt::Link), "{links} {changed}");
        }
    }

    #[test]
    fn the_app_s_user_is_nowhere_on_the_path() {
        let next = folder(0, 0, 0o755);
        for (from, entered, ended) in [
            (folder(0, 0, 0o755), Ok(()), Ok(())),
            // A group that the app is not in, as on Ubuntu's /var/log.
            (folder(0, 104, 0o775), Ok(()), Ok(())),
            (folder(0, 50, 0o775), Err(Doubt::Folder), Err(Doubt::Folder)),
            (folder(0, 0, 0o1777), Ok(()), Err(Doubt::Folder)),
            (folder(0, 0, 0o777), Err(Doubt::Folder), Err(Doubt::Folder)),
            (
                folder(APP, 0, 0o700),
                Err(Doubt::Folder),
                Err(Doubt::Folder),
            ),
        ] {
            assert_eq!(strict().enter(&from, &next), entered, "{from:?}");
            assert_eq!(strict().end_in(&from, None), ended, "{from:?}");
        }
        let theirs = folder(APP, APP, 0o755);
        let sticky = folder(0, 0, 0o1777);
        assert_eq!(strict().enter(&sticky, &theirs), Err(Doubt::Folder));
    }

    #[test]
    fn files_that_were_there() {
        let file = |uid| facts(FileType::RegularFile, uid, uid, 0o600);
        let sticky = folder(0, 0, 0o1777);
        let own = folder(US, US, 0o700);
        let theirs = folder(THEM, THEM, 0o755);
        let pipe = facts(FileType::Fifo, US, US, 0o600);
        let mut twice = file(US);
        twice.links = 2;
        let mut renamed = file(US);
        renamed.changed = NOW;
        let mut written = renamed;
        written.modified = NOW;
        for (at, of, expected) in [
            (sticky, file(US), Ok(())),
            (sticky, file(0), Ok(())),
            (sticky, file(THEM), Err(Doubt::Owner(THEM))),
            (theirs, file(THEM), Ok(())),
            (theirs, file(US), Ok(())),
            (sticky, pipe, Err(Doubt::Kind)),
            (sticky, twice, Err(Doubt::Names)),
            (sticky, renamed, Err(Doubt::Names)),
            (sticky, written, Ok(())),
            (own, pipe, Ok(())),
            (own, twice, Ok(())),
            (own, file(THEM), Ok(())),
        ] {
            assert_eq!(ours(US).use_file(&at, &of, NOW), expected, "{at:?} {of:?}");
        }
    }
}
