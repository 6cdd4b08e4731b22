//! The links on the way to a path.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// No more are followed, as the kernel does it (`path_resolution(7)`).
const MOST: usize = 40;

/// All symbolic links that are followed when this absolute path is opened, those within links too.
/// The folder of each is the real one, so that it can be watched.
pub(super) fn on_the_way(path: &Path) -> Vec<PathBuf> {
    let mut links = Vec::new();
    let mut left: VecDeque<OsString> = parts(path).collect();
    let mut at = PathBuf::from("/");
    while let Some(part) = left.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(part);
        match fs::read_link(&next) {
            Ok(target) if links.len() < MOST => {
                links.push(next);
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for part in parts(&target).rev() {
                    left.push_front(part);
                }
            }
            _ => at = next,
        }
    }
    links
}

/// The names in a path; what is above is one too.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_found_where_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("real/in")).unwrap();
        symlink("real", top.join("a")).unwrap();
        symlink(top.join("a/in"), top.join("b")).unwrap();
        symlink("../b", top.join("real/c")).unwrap();
        symlink("nowhere", top.join("dead")).unwrap();
        symlink("circle", top.join("circle")).unwrap();
        let found = |path: &str| {
            let found = on_the_way(&top.join(path));
            let names = found.iter().map(|it| it.strip_prefix(&top).unwrap());
            names
                .map(|it| it.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(found("real/in/x"), [""; 0]);
        assert_eq!(found("a/in"), ["a"]);
        assert_eq!(found("b/x"), ["b", "a"]);
        assert_eq!(found("a/c"), ["a", "real/c", "b", "a"]);
        assert_eq!(found("dead/x"), ["dead"]);
        assert_eq!(found("circle").len(), MOST);
    }
}
