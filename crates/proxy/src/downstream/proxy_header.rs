//! The PROXY header, in which a balancer in front says who the client is.

use std::net::{IpAddr, SocketAddr};

use balance::Client as Caller;
use http1::ProxyHeader;

use super::client::{Client, Phase, Step};
use super::peer::Peer;
use crate::context::Context;
use crate::exchange::ending;
use crate::link::Read;

/// What a step of reading has come to.
pub(crate) enum Header {
    /// The client's address is known now, if the header names one.
    Complete,
    Not(Step),
}

/// Reads the PROXY header.
pub(crate) fn read(client: &mut Client, cx: &mut Context) -> Header {
    let io = &mut cx.io;
    match client.link.read(&mut io.read_buffer, &io.epoll) {
        Read::Some(len) => {
            let said = io.read_buffer.get(..len).unwrap_or(&[]);
            client.link.input.extend(said);
        }
        Read::Nothing => return Header::Not(Step::Wait),
        Read::End | Read::Broken => return Header::Not(Step::Over),
    }
    match http1::read_proxy_header(&client.link.input) {
        Ok(ProxyHeader::Incomplete) => Header::Not(Step::On),
        Ok(ProxyHeader::Complete(len, named)) => {
            client.link.input.advance(len);
            if let Some(named) = named {
                client.peer = peer(named);
            }
            client.phase = Phase::reading(io.now);
            Header::Complete
        }
        Err(refusal) => Header::Not(ending::refuse(client, refusal, None, cx)),
    }
}

/// The client that a balancer names.
fn peer(named: SocketAddr) -> Peer {
    let port = named.port().to_be_bytes();
    let address = named.ip().to_canonical();
    let mut sockaddr = Vec::with_capacity(28);
    match address {
        IpAddr::V4(v4) => {
            sockaddr.extend(2u16.to_ne_bytes());
            sockaddr.extend(port);
            sockaddr.extend(v4.octets());
            sockaddr.extend([0; 8]);
        }
        IpAddr::V6(v6) => {
            sockaddr.extend(10u16.to_ne_bytes());
            sockaddr.extend(port);
            sockaddr.extend([0; 4]);
            sockaddr.extend(v6.octets());
            sockaddr.extend([0; 4]);
        }
    }
    Peer::new(&sockaddr, Some(address), Caller::at(address))
}
