//! The arrows of ARCHITECTURE.md: which module may know which.

use std::fs;
use std::path::Path;

/// The rooms that call those which serve them.
const ABOVE: &[&str] = &[
    "apps",
    "cli",
    "config",
    "control",
    "dispatcher",
    "guard",
    "home",
    "output",
    "supervisor",
];

/// A room, and the rooms of this crate that it must not name.
const MUST_NOT_KNOW: [(&str, &[&str]); 11] = [
    (
        "dispatcher",
        &["supervisor", "output", "config", "cli", "events", "guard"],
    ),
    (
        "proxy",
        &[
            "dispatcher",
            "supervisor",
            "output",
            "config",
            "cli",
            "events",
            "guard",
        ],
    ),
    ("supervisor", &["cli", "guard"]),
    (
        "config",
        &["supervisor", "dispatcher", "output", "cli", "guard"],
    ),
    ("output", &["supervisor", "dispatcher", "cli", "guard"]),
    ("logs", ABOVE),
    ("watch", ABOVE),
    ("schedule.rs", ABOVE),
    ("memory.rs", ABOVE),
    ("ipc.rs", ABOVE),
    (
        "events.rs",
        &["supervisor", "dispatcher", "output", "config", "cli"],
    ),
];

#[test]
fn rooms_know_only_whom_they_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, others) in MUST_NOT_KNOW {
        for (file, text) in files(&source.join(room)) {
            for other in others {
                assert!(
                    !text.contains(&format!("crate::{other}")),
                    "{file} names crate::{other}, which {room} must not know"
                );
            }
        }
    }
}

#[test]
fn unsafe_code_stands_in_two_crates() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in ["wire", "balance", "http", "maitred", "bench"] {
        let source = crates.join(name).join("src");
        let root = fs::read_to_string(source.join("lib.rs"))
            .or_else(|_| fs::read_to_string(source.join("main.rs")))
            .unwrap();
        assert!(root.contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

fn files(path: &Path) -> Vec<(String, String)> {
    if path.is_file() {
        let text = fs::read_to_string(path).expect("a source file is text");
        return vec![(path.display().to_string(), text)];
    }
    fs::read_dir(path)
        .expect("a room of the table exists")
        .flat_map(|entry| files(&entry.expect("a folder can be listed").path()))
        .collect()
}
