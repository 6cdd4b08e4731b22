//! Tells the executable its version, with commit and target.

use std::env;
use std::process::Command;

fn main() {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=MAITRED_VERSION={}", version(&target));
}

/// The version, the commit, and the target. MAITRED_COMMIT names the commit, or else git does. A
/// debug build is of no commit, so that it need not be built anew after each one.
fn version(target: &str) -> String {
    println!("cargo::rerun-if-env-changed=MAITRED_COMMIT");
    let version = env!("CARGO_PKG_VERSION");
    let named = env::var("MAITRED_COMMIT").ok().filter(|it| !it.is_empty());
    let is_debug = env::var("PROFILE").is_ok_and(|profile| profile == "debug");
    let commit = named.or_else(|| if is_debug { None } else { commit() });
    let commit =
        commit.unwrap_or_else(|| if is_debug { "debug" } else { "unknown commit" }.to_owned());
    format!("{version} ({commit}, {target})")
}

/// The commit that is checked out, in short; `None` where this is no checkout, or git is missing.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // It changes with each commit and each checkout.
    println!(
        "cargo::rerun-if-changed={}",
        git(&["rev-parse", "--git-path", "logs/HEAD"])?
    );
    git(&["rev-parse", "--short=12", "HEAD"])
}
