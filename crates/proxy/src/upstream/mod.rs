//! Towards workers: the connections that carry requests to them.

pub(crate) mod batch;
pub(crate) mod handoff;
pub(crate) mod pool;
