//! Unix sockets that each process keeps to itself: helpers of an app that speak a protocol of their
//! own, with one process. What makes one of them is its name.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::super::address::ListenAddress;
use super::{Question, Registrar};

/// Control sockets of servers, one for each copy: gunicorn's replaces the one that is there.
const KNOWN: &[&str] = &["gunicorn.ctl"];

/// Smaller numbers stand in names for other reasons.
const LEAST_NUMBER: u64 = 100;

/// How functions such as `mkdtemp` begin names of folders, and how many random characters they add
/// at least.
const TEMPORARY: &[&str] = &["tmp", ".tmp", "pymp-"];
const RANDOM: usize = 6;

impl Registrar {
    /// Whether a Unix socket is the process's own.
    pub(super) fn is_private(&self, question: &Question, address: &ListenAddress) -> bool {
        let (text, path) = match address {
            ListenAddress::Path(path) => (path.as_os_str().as_bytes(), Some(path)),
            ListenAddress::Abstract(name) => (name.as_slice(), None),
            ListenAddress::Tcp { .. } => return false,
        };
        let named = match path {
            Some(path) => {
                let known = KNOWN.iter().any(|name| path.ends_with(name));
                known || matches_any(path, &self.settings.private_paths)
            }
            None => names_abstract(text, &self.settings.private_paths),
        };
        // A path that is shared goes with its process. One of its own stays behind, as without us:
        // so of those with its number it has only what must not be taken for HTTP.
        let may_have_number = path.is_none() || self.settings.per_request;
        named
            || (may_have_number && self.has_own_number(question, text))
            || path.is_some_and(|path| self.is_in_own_folder(question, path))
    }

    /// Whether the name has the number of the process, or of one that it descends from. (What the
    /// children of a `node:cluster` share may have their parent's.)
    fn has_own_number(&self, question: &Question, name: &[u8]) -> bool {
        let numbers: Vec<u64> = numbers_in(name)
            .filter(|number| *number >= LEAST_NUMBER)
            .collect();
        if numbers.is_empty() {
            return false;
        }
        let mut own = question.peer.numbers();
        if !question.request.cluster_worker {
            let parents = question.peer.parents_up_to(self.settings.ancestor);
            own.extend(parents.into_iter().map(|pid| u64::from(pid.unsigned_abs())));
        }
        own.iter().any(|number| numbers.contains(number))
    }

    /// Whether it is in a temporary folder that the app has made for itself alone.
    fn is_in_own_folder(&self, question: &Question, path: &Path) -> bool {
        let Some(folder) = path.parent() else {
            return false;
        };
        let name = folder.file_name().map_or(&b""[..], OsStrExt::as_bytes);
        if !is_temporary(name) {
            return false;
        }
        let metadata = question
            .peer
            .rights()
            .act(|| std::fs::symlink_metadata(folder));
        matches!(metadata, Ok(Ok(it)) if it.is_dir()
            && it.mode() & 0o777 == 0o700
            && it.uid() == question.peer.identity.uid
            && it.created().is_ok_and(|at| at > self.started))
    }
}

/// The whole numbers in a name.
fn numbers_in(name: &[u8]) -> impl Iterator<Item = u64> {
    let words = name.split(|byte| !byte.is_ascii_digit());
    words.filter_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
}

/// Whether the name of a folder ends as those of `mkdtemp` do.
fn is_temporary(name: &[u8]) -> bool {
    let is_random = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let made = TEMPORARY
        .iter()
        .filter_map(|start| name.strip_prefix(start.as_bytes()))
        .any(|rest| rest.len() >= RANDOM && rest.iter().all(is_random));
    let end = name.len().checked_sub(RANDOM).and_then(|at| name.get(at..));
    made || end.is_some_and(|end| {
        let has = |kind: fn(&u8) -> bool| end.iter().any(kind);
        let mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        let digits = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
        end.iter().all(u8::is_ascii_alphanumeric) && (mixed || digits)
    })
}

/// Whether one of these names a path: a whole one if it begins with a slash, else its end.
fn matches_any(path: &Path, patterns: &[String]) -> bool {
    patterns.iter().map(Path::new).any(|pattern| {
        let count = pattern.components().count();
        let len = path.components().count();
        let fits = match pattern.is_absolute() {
            true => len == count,
            false => len >= count,
        };
        fits && count > 0
            && pattern
                .components()
                .zip(path.components().skip(len - count))
                .all(|(pattern, part)| {
                    let (pattern, part) = (pattern.as_os_str(), part.as_os_str());
                    matches(pattern.as_bytes(), part.as_bytes())
                })
    })
}

fn names_abstract(name: &[u8], patterns: &[String]) -> bool {
    let mut patterns = patterns.iter().filter_map(|it| it.strip_prefix('@'));
    patterns.any(|pattern| matches(pattern.as_bytes(), name))
}

/// Whether a text is like a pattern, in which `*` stands for any characters.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let Some(mut rest) = parts.next().and_then(|start| text.strip_prefix(start)) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(end) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let mut places = (0..=rest.len()).filter_map(|at| rest.get(at..)?.strip_prefix(part));
        match places.next() {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_a_file_or_a_whole_path() {
        for (pattern, path, fits) in [
            ("a.sock", "/run/a.sock", true),
            ("a.sock", "/run/ba.sock", false),
            ("*.ctl", "/run/x/g.ctl", true),
            ("x/*.ctl", "/run/x/g.ctl", true),
            ("y/*.ctl", "/run/x/g.ctl", false),
            ("/run/*/g.ctl", "/run/x/g.ctl", true),
            ("/run/*", "/run/x/g.ctl", false),
            ("/x/g.ctl", "/run/x/g.ctl", false),
            ("a*b*c", "/aXbYc", true),
            ("a*b*c", "/abbb", false),
            ("a*a", "/a", false),
            ("", "/a", false),
        ] {
            let patterns = [pattern.to_owned()];
            assert_eq!(
                matches_any(Path::new(path), &patterns),
                fits,
                "{pattern} {path}"
            );
        }
        let patterns = ["@listener-*".to_owned()];
        assert!(names_abstract(b"listener-7", &patterns));
        assert!(!names_abstract(b"other", &patterns));
    }

    #[test]
    fn numbers_and_random_names_are_found() {
        let numbers: Vec<_> = numbers_in(b"/run/app3/4711.9-x").collect();
        assert_eq!(numbers, [3, 4711, 9]);
        for (name, is) in [
            ("pymp-abcdefgh", true),
            ("tmpab_defgh", true),
            (".tmpAbCdEf", true),
            ("app-x8Fk2q", true),
            ("my-application", false),
            ("tmp", false),
            ("20260101", false),
            ("run", false),
        ] {
            assert_eq!(is_temporary(name.as_bytes()), is, "{name}");
        }
    }
}
