//! What is not watched.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use fast_glob::{glob_match, validate};
use regex_lite::Regex;

/// Patterns of files and folders that are not watched.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    /// What paths are relative to.
    folder: PathBuf,
    /// Of a file's or folder's name.
    names: Vec<String>,
    /// Of its path.
    paths: Vec<String>,
    /// Of its path, which begins with a slash at the folder.
    expressions: Vec<Regex>,
    /// Files that we write ourselves.
    own: Vec<PathBuf>,
}

impl Ignore {
    /// Reads the patterns: without a slash one is of a name, wherever that is; else it is of a
    /// path, absolute or against `folder`. After `regex:` comes a regular expression, as a config
    /// in JavaScript may have it. Those that cannot be read come back.
    pub(super) fn new(
        patterns: &[String],
        folder: &Path,
        own: Vec<PathBuf>,
    ) -> (Self, Vec<String>) {
        let mut ignore = Self {
            folder: folder.to_owned(),
            own,
            ..Self::default()
        };
        let mut bad = Vec::new();
        for pattern in patterns {
            if let Some(expression) = pattern.strip_prefix("regex:") {
                match Regex::new(expression) {
                    Ok(expression) => ignore.expressions.push(expression),
                    Err(_) => bad.push(pattern.clone()),
                }
                continue;
            }
            let bare = pattern.trim_start_matches("./").trim_end_matches('/');
            if bare.is_empty() || validate(bare).is_err() {
                bad.push(pattern.clone());
            } else if bare.contains('/') {
                ignore.paths.push(bare.to_owned());
            } else {
                ignore.names.push(bare.to_owned());
            }
        }
        (ignore, bad)
    }

    /// Whether this is not watched, with all that is in it.
    pub(super) fn covers(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().as_bytes();
        if self.names.iter().any(|pattern| glob_match(pattern, name)) {
            return true;
        }
        let relative = path.strip_prefix(&self.folder).ok();
        let matched = self.paths.iter().any(|pattern| {
            let path = if pattern.starts_with('/') {
                Some(path)
            } else {
                relative
            };
            path.is_some_and(|path| glob_match(pattern, path.as_os_str().as_bytes()))
        });
        matched
            || self.matches_expression(path, relative)
            || self.own.iter().any(|own| is_own(own, path))
    }

    /// What lies above the app's folder must not decide: it may well have a dot in its name.
    fn matches_expression(&self, path: &Path, relative: Option<&Path>) -> bool {
        if self.expressions.is_empty() {
            return false;
        }
        let text = match relative {
            Some(relative) => format!("/{}", relative.to_string_lossy()),
            None => path.to_string_lossy().into_owned(),
        };
        self.expressions.iter().any(|it| it.is_match(&text))
    }
}

/// Whether a path is a file of ours, or what becomes of it when it is rotated.
fn is_own(own: &Path, path: &Path) -> bool {
    if own == path {
        return true;
    }
    let (Some(own_name), Some(name)) = (own.file_name(), path.file_name()) else {
        return false;
    };
    let own_name = own_name.as_bytes();
    let stem = own_name.strip_suffix(b".log").unwrap_or(own_name);
    own.parent() == path.parent()
        && name
            .as_bytes()
            .strip_prefix(stem)
            .is_some_and(|rest| rest.starts_with(b"__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_paths_and_globs() {
        let patterns = [
            ".*",
            "node_modules/",
            "*.log",
            "./build/**",
            "public/uploads",
            "/srv/data",
            "src/*.{md,txt}",
        ];
        let patterns = patterns.map(str::to_owned);
        let own = vec![PathBuf::from("/app/logs/a-out-0.log"), "/app/pid".into()];
        let (ignore, bad) = Ignore::new(&patterns, Path::new("/app"), own);
        assert!(bad.is_empty());
        for (path, expected) in [
            ("/app/.git", true),
            ("/app/src/.env", true),
            ("/app/node_modules", true),
            ("/app/src/node_modules", true),
            ("/app/src/x.log", true),
            ("/app/build/a/b.js", true),
            ("/app/public/uploads", true),
            ("/app/src/a.md", true),
            ("/srv/data", true),
            ("/app/logs/a-out-0__2026-03-07_09-05-03", true),
            ("/app/pid", true),
            ("/app/src/deep/a.md", false),
            ("/app/src/uploads", false),
            ("/app/src/a.js", false),
            ("/app/build", false),
            ("/other/build/x", false),
        ] {
            assert_eq!(ignore.covers(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_read_comes_back() {
        let patterns = ["a[".to_owned(), String::new(), "ok".to_owned()];
        let (_, bad) = Ignore::new(&patterns, Path::new("/"), Vec::new());
        assert_eq!(bad, ["a[", ""]);
    }

    #[test]
    fn regular_expressions() {
        let patterns = [r"regex:[\/\\]\.|node_modules", "regex:(", "regex:^/tmp/"];
        let patterns = patterns.map(str::to_owned);
        let (ignore, bad) = Ignore::new(&patterns, Path::new("/srv/.apps/a"), Vec::new());
        assert_eq!(bad, ["regex:("]);
        for (path, expected) in [
            ("/srv/.apps/a/.git", true),
            ("/srv/.apps/a/x/node_modules", true),
            ("/srv/.apps/a/tmp/x", true),
            ("/srv/.apps/a/x/tmp/x", false),
            ("/srv/.apps/a/x.js", false),
            ("/tmp/x", true),
        ] {
            assert_eq!(ignore.covers(Path::new(path)), expected, "{path}");
        }
    }
}
