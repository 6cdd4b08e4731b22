//! Towards clients: their connections, and what they say.

pub(crate) mod accept;
pub(crate) mod carrier;
pub(crate) mod client;
pub(crate) mod handshakes;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod leave;
pub(crate) mod peer;
pub(crate) mod protocol;
pub(crate) mod proxy_header;
pub(crate) mod tls;
