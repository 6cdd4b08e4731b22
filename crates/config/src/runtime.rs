//! Which runtime a TypeScript project is written for: the files that Deno and Bun keep in its folder
//! tell.

use std::path::{Path, PathBuf};

/// The files by which a runtime's projects are known. Where a folder has those of several, the
/// first one here counts.
const SIGNS: [(&str, &[&str]); 2] = [
    ("bun", &["bun.lock", "bun.lockb", "bunfig.toml"]),
    ("deno", &["deno.json", "deno.jsonc", "deno.lock"]),
];

/// A file that tells a project's runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sign {
    pub(super) runtime: &'static str,
    pub(super) file: PathBuf,
}

/// The nearest sign at or above the folder of a script. A link counts as the file that it leads to,
/// as it does for the runtimes.
pub(super) fn nearest(script: &Path) -> Option<Sign> {
    let real = script.canonicalize().ok()?;
    real.ancestors().skip(1).find_map(|folder| {
        SIGNS.iter().find_map(|(runtime, files)| {
            let mut files = files.iter().map(|file| folder.join(file));
            let file = files.find(|file| file.is_file())?;
            Some(Sign { runtime, file })
        })
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Which files there are, and the runtime and file that tell for shop/api/src/server.ts.
    type Case = (
        &'static [&'static str],
        Option<(&'static str, &'static str)>,
    );

    #[test]
    fn the_nearest_sign_tells_the_runtime() {
        let cases: [Case; 12] = [
            (&[], None),
            (&["package.json", "shop/package-lock.json"], None),
            (
                &["shop/api/src/deno.json"],
                Some(("deno", "shop/api/src/deno.json")),
            ),
            (&["shop/deno.jsonc"], Some(("deno", "shop/deno.jsonc"))),
            (&["deno.lock"], Some(("deno", "deno.lock"))),
            (&["shop/api/bun.lock"], Some(("bun", "shop/api/bun.lock"))),
            (&["shop/api/bun.lockb"], Some(("bun", "shop/api/bun.lockb"))),
            (&["bunfig.toml"], Some(("bun", "bunfig.toml"))),
            (
                &["bun.lock", "shop/deno.json"],
                Some(("deno", "shop/deno.json")),
            ),
            (
                &["deno.json", "shop/bun.lock"],
                Some(("bun", "shop/bun.lock")),
            ),
            (
                &["shop/deno.json", "shop/bun.lock"],
                Some(("bun", "shop/bun.lock")),
            ),
            // What lies beside the way up tells nothing, and neither does a folder of that name.
            (&["other/deno.json", "bun.lock/file"], None),
        ];
        for (files, expected) in cases {
            let temporary = tempfile::tempdir().unwrap();
            let root = temporary.path().canonicalize().unwrap();
            for file in ["shop/api/src/server.ts"].iter().chain(files) {
                let file = root.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "").unwrap();
            }
            let expected = expected.map(|(runtime, file)| Sign {
                runtime,
                file: root.join(file),
            });
            // What stands above the temporary folder is not this test's.
            let found =
                |script: &str| nearest(&root.join(script)).filter(|it| it.file.starts_with(&root));
            assert_eq!(found("shop/api/src/server.ts"), expected, "{files:?}");
            assert_eq!(
                found("shop/../shop/api/src/server.ts"),
                expected,
                "{files:?}"
            );
            fs::create_dir_all(root.join("bin")).unwrap();
            symlink("../shop/api/src/server.ts", root.join("bin/start.ts")).unwrap();
            assert_eq!(found("bin/start.ts"), expected, "{files:?}");
        }
    }
}
