//! What users write, and what becomes of it: config files and flags, through `maitred check`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken expectation anywhere in a test ends it"
)]

mod harness;
#[expect(
    dead_code,
    reason = "shared with other test programs, which use more of it"
)]
#[path = "../end_to_end/harness/place.rs"]
mod place;

mod bm2;
mod command_line;
mod env_file;
mod errors;
mod fields;
mod flags;
mod formats;
mod help;
mod init;
mod interpreters;
mod names;
mod programs;
mod schema;
mod scripts;
mod snapshot;
mod start;
mod types;
mod wording;
