//! Workers that come, are unwell, and go.

use balance::MemberId;

use crate::upstream::pool::UpstreamPool;
use crate::upstream::take_back;
use crate::{Proxy, Workers};
use telemetry::ids::Place;

impl Proxy {
    /// A worker listens there.
    pub fn join(&mut self, listener: u64, member: MemberId, place: Place) {
        if let Some(at) = self.cx.listeners.get_mut(listener) {
            at.join(member, place);
            let pool = UpstreamPool::new(listener);
            self.cx.upstream.pools.insert(member, pool);
            self.cx.ready.place_at(listener);
        }
    }

    /// Sets whether a worker is well. An unwell one gets nothing while another one is well, and what it has
    /// not taken goes to others.
    pub fn set_well<W: Workers>(&mut self, member: MemberId, well: bool, workers: &mut W) {
        let cx = &mut self.cx;
        let Some(listener) = cx.upstream.pools.get(&member).map(|pool| pool.listener) else {
            return;
        };
        if let Some(at) = cx.listeners.get_mut(listener) {
            at.balancer.set_well(cx.io.now, member, well);
            cx.ready.place_at(listener);
        }
        if !well {
            take_back::take_back(member, &mut self.clients, cx, workers);
        }
        self.settle(workers);
    }

    /// A worker listens no more: what it has not taken goes to others; what it has in progress it
    /// may complete.
    pub fn leave<W: Workers>(&mut self, member: MemberId, workers: &mut W) {
        let cx = &mut self.cx;
        take_back::take_back(member, &mut self.clients, cx, workers);
        let Some(pool) = cx.upstream.pools.remove(&member) else {
            return;
        };
        for connection in pool.idle() {
            cx.upstream.connections.remove(connection);
        }
        if let Some(listener) = cx.listeners.get_mut(pool.listener) {
            listener.balancer.leave(member);
        }
        self.settle(workers);
    }
}
