//! Random bytes that come close to messages: encoded ones of any content, with some bytes changed.

use fastrand::Rng;
use wire::{Address, Handoff, Moved, Reply, Request, Verb, Way, channel_name, pair_name};

/// Some bytes.
pub(crate) fn soup(random: &mut Rng) -> Vec<u8> {
    let len = random.usize(..130);
    let noise: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
    let address = Address::new(&noise).unwrap_or(Address::NONE);
    let mut bytes = match random.u64(..7) {
        0 => noise,
        1 => Handoff::connection(&noise).encode().0.to_vec(),
        2 => channel_name(random.u64(..), random.u64(..)).to_vec(),
        3 => pair_name(random.u64(..), random.u64(..), &noise).to_vec(),
        4 => Reply {
            channel: random.u64(..),
            address,
            ..Reply::plain(wire::Outcome::Failed(random.u64(..200) as i32))
        }
        .encode()
        .to_vec(),
        5 => moved(random, address, &noise),
        _ => Request {
            verb: Verb::Bind,
            cluster_worker: random.bool(),
            instance: random.u32(..),
            tid: random.i32(..),
            fd: random.i32(..),
            arg: random.i32(..),
            arg2: random.i32(..),
            channel: random.u64(..),
            address,
        }
        .encode()
        .to_vec(),
    };
    for _ in 0..random.u64(..4) {
        let at = random.usize(..bytes.len().max(1));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = random.u8(..);
        }
    }
    bytes
}

/// A message to a successor, with some bytes behind it.
fn moved(random: &mut Rng, address: Address, noise: &[u8]) -> Vec<u8> {
    let ip = random.bool().then(|| match random.bool() {
        true => std::net::IpAddr::from(random.u32(..).to_be_bytes()),
        false => std::net::IpAddr::from(random.u128(..).to_be_bytes()),
    });
    let way = Way {
        peer: address,
        address: ip,
        local: ip,
        listener: address,
    };
    let message = match random.u64(..5) {
        0 => Moved::Client {
            way,
            served: random.bool(),
            header: random.bool(),
            bytes: random.u32(..),
        },
        1 => Moved::Rest,
        2 => Moved::Request {
            way,
            number: random.u64(..),
            wants: random.bool().then(|| random.u64(..)),
        },
        3 => Moved::Held {
            number: random.u64(..),
            channel: random.u64(..),
            lasts: random.bool(),
        },
        _ => Moved::Over(random.u64(..)),
    };
    let (bytes, len) = message.encode();
    let behind = if random.bool() { noise } else { &[] };
    [bytes.get(..len).expect("a message has its length"), behind].concat()
}
