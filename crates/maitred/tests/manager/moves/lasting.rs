//! Connections that cannot move, and stay open over many deploys.

use std::io;
use std::net::SocketAddr;

use super::kinds::next_event;
use super::websocket;
use crate::client::Client;

/// Some WebSockets and a stream of events.
pub(super) struct Lasting {
    websockets: Vec<Client>,
    events: Client,
    next: u32,
}

impl Lasting {
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let mut websockets = Vec::new();
        for _ in 0..4 {
            let mut client = Client::new(address)?;
            websocket::open(&mut client, "/")?;
            websockets.push(client);
        }
        let mut events = Client::new(address)?;
        events.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut lasting = Self {
            websockets,
            events,
            next: 0,
        };
        lasting.go_on()?;
        Ok(lasting)
    }

    /// All of them are as they were.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        for client in &mut self.websockets {
            websocket::echoes(client, "still there")?;
        }
        next_event(&mut self.events, self.next)?;
        self.next += 1;
        Ok(())
    }

    /// The clients leave.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.go_on()?;
        self.websockets.iter_mut().try_for_each(websocket::close)
    }
}
