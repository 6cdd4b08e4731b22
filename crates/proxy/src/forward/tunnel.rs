//! Upgraded connections: bytes go both ways, whatever they mean.

use std::os::fd::OwnedFd;

use crate::Proxy;
use crate::downstream::client::Phase;
use crate::exchange::Step;
use crate::link::{Link, Read};
use crate::slab::Key;

impl Proxy {
    /// Passes on what an upgraded connection carries.
    pub(crate) fn tunnel(&mut self, key: Key) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        let Phase::Tunnel(tunnel) = &mut client.phase else {
            return Step::Wait;
        };
        let Some(pair) = self.pairs.get_mut(tunnel.pair) else {
            return Step::Over;
        };
        if pair.link.flush(&self.epoll).is_err() {
            return Step::Over;
        }
        let (room, epoll) = (&mut self.room, &self.epoll);
        let mut any = false;
        match copy(
            &mut client.link,
            &mut pair.link,
            &mut tunnel.told_worker,
            room,
            epoll,
        ) {
            Some(len) => any |= len > 0,
            None => return Step::Over,
        }
        match copy(
            &mut pair.link,
            &mut client.link,
            &mut tunnel.told_client,
            room,
            epoll,
        ) {
            Some(len) => {
                any |= len > 0;
                tunnel.record.bytes += len as u64;
            }
            None => return Step::Over,
        }
        client.link.add_work(pair.link.take_work().0);
        if any {
            client.active_at = self.now;
            Step::On
        } else if tunnel.told_worker && tunnel.told_client {
            Step::Over
        } else {
            Step::Wait
        }
    }
}

/// Copies what there is from one side to the other; how much that was, or `None` if a side is
/// broken. A side that ends is told to the other.
fn copy(
    from: &mut Link,
    to: &mut Link,
    told: &mut bool,
    room: &mut [u8],
    epoll: &OwnedFd,
) -> Option<usize> {
    if to.is_clogged() {
        return Some(0);
    }
    let kept = std::mem::take(&mut from.input);
    if !kept.is_empty() {
        to.send(&kept, &[], epoll).ok()?;
        return Some(kept.len());
    }
    match from.read(room, epoll) {
        Read::Some(len) => {
            to.send(room.get(..len).unwrap_or(&[]), &[], epoll).ok()?;
            Some(len)
        }
        Read::Nothing => Some(0),
        Read::End => {
            if !std::mem::replace(told, true) {
                to.finish_sending(epoll);
            }
            Some(0)
        }
        Read::Broken => None,
    }
}
