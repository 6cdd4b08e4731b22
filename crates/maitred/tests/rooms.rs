//! The arrows of ARCHITECTURE.md: which module may know which.

use std::fs;
use std::path::Path;

/// A room, and the rooms of this crate that it must not name.
const MUST_NOT_KNOW: [(&str, &[&str]); 18] = [
    (
        "dispatcher",
        &[
            "supervisor",
            "output",
            "config",
            "cli",
            "events",
            "guard",
            "home",
            "control",
            "apps",
            "logs",
        ],
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
    ("supervisor", &["cli", "guard", "apps"]),
    (
        "config",
        &[
            "supervisor",
            "dispatcher",
            "output",
            "cli",
            "guard",
            "home",
            "control",
            "apps",
            "logs",
            "watch",
        ],
    ),
    (
        "output",
        &[
            "supervisor",
            "dispatcher",
            "cli",
            "guard",
            "home",
            "control",
            "apps",
        ],
    ),
    (
        "events.rs",
        &[
            "supervisor",
            "dispatcher",
            "output",
            "config",
            "cli",
            "home",
            "control",
            "apps",
        ],
    ),
    (
        "home",
        &[
            "supervisor",
            "dispatcher",
            "output",
            "cli",
            "guard",
            "control",
            "apps",
        ],
    ),
    (
        "control",
        &["supervisor", "dispatcher", "output", "cli", "guard", "apps"],
    ),
    (
        "apps",
        &["supervisor", "dispatcher", "output", "cli", "guard", "logs"],
    ),
    ("logs", EVERYBODY_ELSE),
    (
        "access",
        &[
            "supervisor",
            "dispatcher",
            "proxy",
            "config",
            "output",
            "cli",
            "events",
            "guard",
            "home",
            "control",
            "apps",
        ],
    ),
    ("watch", EVERYBODY_ELSE),
    ("schedule.rs", EVERYBODY_ELSE),
    ("memory.rs", EVERYBODY_ELSE),
    ("ipc.rs", EVERYBODY_ELSE),
    ("cgroup", EVERYBODY_ELSE),
    ("safe_files", EVERYBODY_ELSE),
    // The machine itself decides without I/O: only the words of configuration and events.
    (
        "supervisor/instance/mod.rs",
        &[
            "dispatcher",
            "output",
            "cli",
            "guard",
            "home",
            "control",
            "apps",
            "logs",
            "process_tree",
        ],
    ),
];

/// The rooms that know how apps are managed; what is a tool of theirs knows none of them.
const EVERYBODY_ELSE: &[&str] = &[
    "supervisor",
    "dispatcher",
    "output",
    "config",
    "cli",
    "guard",
    "home",
    "control",
    "apps",
    "events",
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
    for name in ["wire", "balance", "http", "random", "maitred", "bench"] {
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
