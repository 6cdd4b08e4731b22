//! What calls for a restart besides people: changed files, and the calendar.

#![forbid(unsafe_code)]

pub mod schedule;
pub mod watch;
