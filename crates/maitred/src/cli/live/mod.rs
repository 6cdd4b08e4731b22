//! What `monit` and the dashboard share: how apps are, again and again, what they write, and orders.

pub(super) mod log;
pub(super) mod order;
pub(super) mod sample;
pub(super) mod summary;
