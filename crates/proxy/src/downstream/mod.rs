//! Towards clients: their connections, and what they say.

pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod request_head;
pub(crate) mod tls;
