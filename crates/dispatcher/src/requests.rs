//! `per: request`: clients stay with the proxy, and the pairs that it makes go down the channels
//! in their place.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use balance::Nanos;

use super::Notice;
use super::address::ip;
use super::ids::ListenerId;
use super::turn::Turn;
use proxy::{self, Peer, Proxy, Report};

/// So many failed requests are told of in a second; of the rest only how many they were.
const TOLD: u32 = 10;
const SECOND: Nanos = 1_000_000_000;

/// How much was told lately.
#[derive(Debug, Default)]
pub(super) struct Telling {
    since: Nanos,
    told: u32,
    /// Failures that were not told of yet.
    unsaid: u64,
}

impl Telling {
    /// When what was not told is to be told, as a number.
    fn deadline(&self) -> Option<Nanos> {
        (self.unsaid > 0).then_some(self.since + SECOND)
    }
}

/// A client has connected to a listener whose requests are placed one by one; `number` counts
/// connections.
pub(super) fn admit(
    proxy: &mut Proxy,
    listener: ListenerId,
    socket: OwnedFd,
    peer: &[u8],
    number: u64,
    is_wildcard: bool,
) {
    let caller = super::address::client(peer, number);
    let address = ip(peer).map(|ip| ip.to_canonical());
    // One that the kernel cannot watch is closed, and so is one whose address has too many.
    let local = is_wildcard
        .then(|| sys::local_address(socket.as_fd()).ok())
        .flatten();
    let local = local.and_then(|local| ip(local.as_bytes()));
    let peer = Peer::new(peer, address, caller);
    let _ = proxy.accept(listener.0, socket, peer, local);
}

impl Turn {
    /// When the proxy is to be called at the latest.
    pub(super) fn proxy_deadline(&self) -> Option<Duration> {
        let at = self.proxy.as_ref().and_then(Proxy::deadline);
        let others = [self.telling.deadline(), self.draining.deadline()];
        let at = at.into_iter().chain(others.into_iter().flatten()).min()?;
        Some(Duration::from_nanos(at))
    }

    /// Lets the proxy do what time has brought, and tells what went wrong there.
    pub(super) fn keep_proxy(&mut self) {
        let now = self.now();
        let Some(proxy) = &mut self.proxy else {
            return;
        };
        proxy.set_time(now);
        if proxy.deadline().is_some_and(|at| at <= now) {
            proxy.tick(&mut self.workers);
        }
        proxy.send_batch(&mut self.workers);
        let complaint = proxy.certificate_error();
        let foreign = proxy.foreign();
        let turned_away = proxy.turned_away();
        let limit = proxy.most_clients();
        let (reports, more) = proxy.reports();
        if let Some(address) = turned_away {
            self.remind(Notice::TurnedAway { address, limit });
        }
        for (gate, what) in foreign {
            if let Some(listener) = self.listeners.all.get(&ListenerId(gate)) {
                let address = listener.address.clone();
                self.tell(Notice::Foreign { address, what });
            }
        }
        if let Some(reason) = complaint {
            self.tell(Notice::Certificate { reason });
        }
        for report in reports {
            self.tell_of(report, now);
        }
        self.telling.unsaid += more;
        if self.telling.deadline().is_some_and(|at| at <= now) {
            self.telling.since = now;
            self.telling.told = 0;
            let count = self.telling.unsaid;
            if self.is_heard(Notice::RequestsFailed { count }) {
                self.telling.unsaid = 0;
            }
        }
    }

    fn tell_of(&mut self, report: Report, now: Nanos) {
        if now.saturating_sub(self.telling.since) >= SECOND {
            self.telling.since = now;
            self.telling.told = 0;
        }
        if self.telling.told >= TOLD {
            self.telling.unsaid += 1;
            return;
        }
        let worker = report.member.and_then(|member| self.members.get(&member));
        let listener = self.listeners.all.get(&ListenerId(report.listener));
        let Some(address) = listener.map(|listener| listener.address.clone()) else {
            self.telling.unsaid += 1;
            return;
        };
        let unsaid = self.telling.unsaid;
        let heard = self.is_heard(Notice::RequestFailed {
            address,
            id: report.id,
            instance: worker.map(|member| member.place.instance),
            status: report.refusal.status(),
            reason: report.detail.unwrap_or(report.refusal.reason()),
            cut: report.cut,
            unsaid,
        });
        if heard {
            self.telling.told += 1;
            self.telling.unsaid = 0;
        } else {
            self.telling.unsaid += 1;
        }
    }
}
