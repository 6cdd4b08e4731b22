//! Finds the programs to measure, and asks them for their versions. A missing
//! one is an error that names it: a benchmark that leaves somebody out must
//! have been told to.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value};

/// Where npm puts programs when `make` installs them for the project.
const NPM_FOLDERS: [&str; 2] = [
    "tests/tools/node_modules/.bin",
    "examples/node_modules/.bin",
];

/// Finds `name` among the installed programs and those of the project.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    on_path(name)
        .or_else(|| {
            NPM_FOLDERS
                .iter()
                .flat_map(|&folder| up(folder))
                .map(|folder| folder.join(name))
                .find(|p| p.is_file())
        })
        .ok_or_else(|| anyhow!("{name} is not installed; `make bench` installs it"))
}

/// The given path, or the one built beside this program.
pub(crate) fn maitred(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        return path
            .canonicalize()
            .with_context(|| format!("finding {}", path.display()));
    }
    let own = std::env::current_exe().context("finding this program")?;
    let beside = own.with_file_name("maitred");
    [
        Some(beside),
        Some(PathBuf::from("target/dist/maitred")),
        on_path("maitred"),
    ]
    .into_iter()
    .flatten()
    .find_map(|path| path.canonicalize().ok())
    .ok_or_else(|| anyhow!("maitred is not built; `make bench` builds it (or give --maitred PATH)"))
}

/// A PATH on which the children find Bun too.
pub(crate) fn search_path() -> std::ffi::OsString {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let more = NPM_FOLDERS.iter().flat_map(|&folder| up(folder));
    std::env::join_paths(std::env::split_paths(&paths).chain(more)).unwrap_or(paths)
}

/// What each program says of its version.
pub(crate) fn versions(programs: &[(&str, PathBuf)]) -> Value {
    let versions: Map<String, Value> = programs
        .iter()
        .map(|(name, path)| ((*name).to_owned(), version(path).into()))
        .collect();
    versions.into()
}

fn version(program: &Path) -> String {
    // nginx knows only -v, and says it on the error output.
    let flag = if program.ends_with("nginx") {
        "-v"
    } else {
        "--version"
    };
    match Command::new(program).arg(flag).output() {
        Ok(output) => {
            let said = if output.stdout.is_empty() {
                output.stderr
            } else {
                output.stdout
            };
            String::from_utf8_lossy(&said)
                .lines()
                .next()
                .unwrap_or("unknown")
                .trim()
                .to_owned()
        }
        Err(error) => format!("unknown: {error}"),
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    // Debian keeps nginx where an ordinary user's PATH does not lead.
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// `folder` below the current folder, this program's, and all above them.
fn up(folder: &str) -> Vec<PathBuf> {
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|above| above.join(folder))
        .filter(|path| path.is_dir())
        .collect()
}
