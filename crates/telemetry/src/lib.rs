//! What is told of an app: what happens to it, and its figures.

#![forbid(unsafe_code)]

pub mod counters;
pub mod events;
pub mod figures;
pub mod ids;
pub mod metrics;
