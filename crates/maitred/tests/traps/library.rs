//! The library as a file: what it exports and what it needs.

use std::collections::BTreeSet;
use std::process::Command;

use crate::harness::tool;
use crate::victims::{COMPILERS, compile, library};

/// Lines that `readelf` prints about the library, as words.
fn readelf(option: &str) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(tool("readelf"))
        .args(["--wide", option])
        .arg(library(folder.path()))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

/// Dynamic symbols as (name, binding), the ones that are defined here or not.
fn symbols(defined: bool) -> BTreeSet<(String, String)> {
    readelf("--dyn-syms")
        .into_iter()
        // Number, value, size, type, binding, visibility, section, name.
        .filter(|words| words.len() == 8 && words[0] != "Num:")
        .filter(|words| (words[6] != "UND") == defined)
        .map(|words| (words[7].clone(), words[4].clone()))
        .collect()
}

/// Each name more is one more that the library takes from the program, or from another library
/// that is preloaded beside it.
#[test]
fn the_library_exports_what_it_takes_over_and_nothing_else() {
    let names = [
        "accept",
        "accept4",
        "bind",
        "close",
        "dup",
        "dup2",
        "dup3",
        "fcntl",
        "fcntl64",
        "getpeername",
        "getsockname",
        "getsockopt",
        "listen",
        "read",
        "readv",
        "recv",
        "recvfrom",
        "remove",
        "send",
        "sendfile",
        "sendfile64",
        "sendmsg",
        "sendto",
        "setsockopt",
        "shutdown",
        "splice",
        "syscall",
        "unlink",
        "unlinkat",
        "write",
        "writev",
    ];
    let expected = names.map(|name| (name.to_owned(), "GLOBAL".to_owned()));
    assert_eq!(symbols(true), BTreeSet::from(expected));
}

/// So it loads into a program of any libc, or of none.
#[test]
fn the_library_needs_no_other() {
    let needed: Vec<_> = readelf("--dynamic")
        .into_iter()
        .filter(|words| words.iter().any(|word| word == "(NEEDED)"))
        .collect();
    assert!(needed.is_empty(), "{needed:?}");
    let expected = [
        "__errno_location",
        "__fcntl",
        "__read",
        "__send",
        "__write",
        "environ",
    ]
    .map(|name| (name.into(), "WEAK".into()));
    assert_eq!(symbols(false), BTreeSet::from(expected));
}

/// Neither glibc's loader nor musl's has anything to say about it, and the program runs as ever.
#[test]
fn the_library_loads_into_programs_of_each_libc() {
    for compiler in COMPILERS {
        let folder = tempfile::tempdir().unwrap();
        let program = compile(compiler, "loaded", folder.path());
        let library = library(folder.path());
        let output = Command::new(program)
            .env("LD_PRELOAD", &library)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{compiler}: {told}");
        assert!(output.stderr.is_empty(), "{compiler}: {output:?}");
        assert_eq!(
            told.trim(),
            format!("report {}", library.display()),
            "{compiler}"
        );
    }
}
