//! The executable: what the user wrote ([`cli`]) is done by supervisors, which are seen from
//! outside here ([`apps`]). Which app waits for which is decided in [`dependencies`]. What a supervisor does stands in the crates `supervisor`, `dispatcher`
//! and `proxy`.

#![forbid(unsafe_code)]

mod apps;
mod cli;
mod dependencies;

#[cfg(feature = "fuzzing")]
pub mod untrusted;

use std::process::ExitCode;

/// Does what the command line of this process says.
pub fn main() -> ExitCode {
    cli::main()
}
