//! Builds the preload library, which the executable carries inside it.
//!
//! The library is a crate of this workspace, built once more here as a shared object: with its
//! own profile (nothing unwinds), for the same target, and without libc.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let workspace =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    for watched in [
        "crates/framing",
        "crates/preload",
        "crates/wire",
        "Cargo.toml",
    ] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(watched).display()
        );
    }
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let folder = out.join("preload");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo
        .current_dir(&workspace)
        .args([
            "rustc",
            "--quiet",
            "--offline",
            "--package",
            "preload",
            "--lib",
        ])
        .args(["--crate-type", "cdylib", "--features", "library"])
        .args(["--profile", "preload", "--target", &target])
        .arg("--target-dir")
        .arg(&folder)
        .args([
            "--",
            "-C",
            "link-arg=-nostdlib",
            "-C",
            "link-arg=-nostartfiles",
        ]);
    // What was set for the outer build (coverage, sanitizers, a linter's wrapper) does not suit a
    // guest without a runtime.
    for variable in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTFLAGS",
        // A linker for another libc: the guest has none.
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
    ] {
        cargo.env_remove(variable);
    }
    let status = cargo.status().expect("running cargo");
    assert!(status.success(), "building the preload library failed");
    let library = folder.join(target).join("preload/libpreload.so");
    println!("cargo::rustc-env=MAITRED_PRELOAD={}", library.display());
}
