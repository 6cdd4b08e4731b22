//! Passing on requests and responses.

pub(crate) mod body;
pub(crate) mod relay;
pub(crate) mod tunnel;
