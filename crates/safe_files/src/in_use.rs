//! Folders that are open: those whose files are used again and again are kept, and the logs of all
//! instances mostly lie in one. So a folder has one descriptor, however many files of it are open.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::folder::Folder;

static IN_USE: Mutex<Vec<Weak<Folder>>> = Mutex::new(Vec::new());

/// The folder, as it is open already if it is: the same one, to be used with the same rights.
pub(super) fn share(folder: Folder) -> Arc<Folder> {
    let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    in_use.retain(|other| other.strong_count() > 0);
    let known = in_use.iter().filter_map(Weak::upgrade);
    if let Some(known) = known.into_iter().find(|known| known.is_same(&folder)) {
        return known;
    }
    let folder = Arc::new(folder);
    in_use.push(Arc::downgrade(&folder));
    folder
}
