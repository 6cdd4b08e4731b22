//! Random bytes that come close to messages: encoded ones of any content, with some bytes changed.

use random::Random;
use wire::{Address, Handoff, Reply, Request, Verb, channel_name, pair_name};

/// Some bytes.
pub(crate) fn soup(random: &mut Random) -> Vec<u8> {
    let len = random.below(130) as usize;
    let noise: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
    let address = Address::new(&noise).unwrap_or(Address::NONE);
    let mut bytes = match random.below(6) {
        0 => noise,
        1 => Handoff::connection(&noise).encode().0.to_vec(),
        2 => channel_name(random.next(), random.next()).to_vec(),
        3 => pair_name(random.next(), random.next(), &noise).to_vec(),
        4 => Reply {
            channel: random.next(),
            address,
            ..Reply::plain(wire::Outcome::Failed(random.below(200) as i32))
        }
        .encode()
        .to_vec(),
        _ => Request {
            verb: Verb::Bind,
            cluster_worker: random.below(2) == 0,
            instance: random.next() as u32,
            tid: random.next() as i32,
            fd: random.next() as i32,
            arg: random.next() as i32,
            arg2: random.next() as i32,
            channel: random.next(),
            address,
        }
        .encode()
        .to_vec(),
    };
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len().max(1) as u64) as usize;
        if let Some(byte) = bytes.get_mut(at) {
            *byte = random.below(256) as u8;
        }
    }
    bytes
}
