//! The arrows of ARCHITECTURE.md that Cargo does not keep: which module of a crate may know which
//! other one, and which crates may have unsafe code.

use std::fs;
use std::path::Path;

/// A module, and what it must not name.
const MUST_NOT_NAME: [(&str, &[&str]); 19] = [
    // The machine itself decides without I/O: only the words of configuration and events.
    (
        "supervisor/src/instance",
        &[
            "dispatcher::",
            "home::",
            "logs::",
            "process::",
            "crate::output",
            "crate::guard",
            "crate::keeper",
        ],
    ),
    // What is said on a terminal does not know who says it.
    (
        "supervisor/src/output",
        &[
            "dispatcher::",
            "home::",
            "crate::guard",
            "crate::instance",
            "crate::keeper",
        ],
    ),
    // What other programs see of an app is known without its supervisor.
    ("maitred/src/apps", &["supervisor::", "crate::cli"]),
    // Which app waits for which is decided without I/O.
    (
        "maitred/src/dependencies",
        &["home::", "supervisor::", "crate::apps", "crate::cli"],
    ),
    // The folder of apps holds records; who speaks with supervisors reads them.
    ("home/src/record.rs", &["crate::control"]),
    ("logs/src/thread.rs", &["crate::access", "crate::view"]),
    // A connection does not know what is said over it.
    (
        "proxy/src/link",
        &[
            "crate::context",
            "crate::downstream",
            "crate::exchange",
            "crate::upstream",
        ],
    ),
    // A request is the same in HTTP/1.1 and HTTP/2; `downstream/carrier.rs` knows the difference.
    (
        "proxy/src/downstream/http1.rs",
        &["super::http2", "super::carrier", "crate::downstream"],
    ),
    ("proxy/src/exchange", &["crate::downstream::http2"]),
    ("proxy/src/forward", &["crate::downstream::http2"]),
    ("proxy/src/upstream", &["crate::downstream::http2"]),
    ("proxy/src/detect", &["crate::downstream::http2"]),
    // What connections become is the placement's own affair, and it does not know who calls it.
    (
        "dispatcher/src/placement",
        &[
            "crate::accept",
            "crate::command",
            "crate::context",
            "crate::draining",
            "crate::endings",
            "crate::event_loop",
            "crate::given_back",
            "crate::membership",
        ],
    ),
    (
        "dispatcher/src/accept.rs",
        &["balance::ConnectionBalancer", "proxy::"],
    ),
    (
        "dispatcher/src/draining.rs",
        &["balance::ConnectionBalancer", "proxy::"],
    ),
    (
        "dispatcher/src/endings.rs",
        &["balance::ConnectionBalancer", "proxy::"],
    ),
    (
        "dispatcher/src/figures.rs",
        &["balance::ConnectionBalancer", "proxy::"],
    ),
    (
        "dispatcher/src/listeners.rs",
        &["balance::ConnectionBalancer", "proxy::"],
    ),
    (
        "dispatcher/src/membership.rs",
        &["balance::ConnectionBalancer", "proxy::"],
    ),
];

/// The crates whose work cannot be done without unsafe code.
const UNSAFE: [&str; 2] = ["preload", "sys"];

#[test]
fn modules_name_only_what_they_may() {
    for (module, others) in MUST_NOT_NAME {
        for (file, text) in files(&crates().join(module)) {
            for other in others {
                assert!(
                    !names(&text, other),
                    "{file} names {other}, which {module} must not know"
                );
            }
        }
    }
}

#[test]
fn unsafe_code_stands_in_two_crates() {
    for folder in fs::read_dir(crates()).expect("the crates have a folder") {
        let folder = folder.expect("a folder can be listed").path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if UNSAFE.contains(&&*name) {
            continue;
        }
        let root = fs::read_to_string(folder.join("src/lib.rs"))
            .or_else(|_| fs::read_to_string(folder.join("src/main.rs")))
            .expect("a crate has a root");
        assert!(root.contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

fn crates() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether a text uses a path that begins so; `x::home::` and `not_home::` are others than `home::`.
fn names(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn files(path: &Path) -> Vec<(String, String)> {
    if path.is_file() {
        let text = fs::read_to_string(path).expect("a source file is text");
        return vec![(path.display().to_string(), text)];
    }
    fs::read_dir(path)
        .expect("a module of the table exists")
        .flat_map(|entry| files(&entry.expect("a folder can be listed").path()))
        .collect()
}
