//! Whom a connection comes from.

use std::net::IpAddr;

use balance::Client as Caller;

/// Whom a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// None over a Unix socket.
    pub(crate) address: Option<IpAddr>,
    /// The bytes of its `sockaddr`, as far as they are shown to workers.
    sockaddr: [u8; 28],
    len: usize,
    /// What it is to the balancer.
    pub(crate) caller: Caller,
}

impl Peer {
    pub fn new(sockaddr: &[u8], address: Option<IpAddr>, caller: Caller) -> Self {
        let mut bytes = [0; 28];
        let len = if sockaddr.len() > bytes.len() {
            2
        } else {
            sockaddr.len()
        };
        for (to, from) in bytes.iter_mut().zip(sockaddr.iter().take(len)) {
            *to = *from;
        }
        Self {
            address,
            sockaddr: bytes,
            len,
            caller,
        }
    }

    pub(crate) fn sockaddr(&self) -> &[u8] {
        self.sockaddr.get(..self.len).unwrap_or(&[])
    }
}
