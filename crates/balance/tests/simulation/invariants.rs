//! What holds after every event.

use balance::{ConnectionPolicy, Nanos};

use crate::floor::{MS, US};
use crate::world::World;

/// No worker may stay idle for so long while something waits: a tick of the balancer (1 ms), four
/// milliseconds in which one that took something may still have to read it, the
/// pause before a probe (0.5 ms), a few ways through the kernel.
const IDLE_WHILE_WAITING: Nanos = 2 * MS + 200 * US;

/// Nor may one of which nothing can be seen: it is only tried again every 10 ms.
const IDLE_UNSEEN: Nanos = 13 * MS;

/// So much later it is clear that a worker is at work which was seen to compute when it was sent
/// something: three milliseconds of processor time in a quarter more, and a tick.
const UNSEEN_WORK: Nanos = 5 * MS;

impl World {
    /// Checks them all.
    pub(crate) fn check(&self) {
        let floor = &self.floor;
        assert_eq!(
            floor.central.len(),
            self.balancer.waiting(),
            "the queue holds what nobody has"
        );
        let untaken: usize = floor
            .workers
            .keys()
            .map(|id| floor.workers[id].channel.len())
            .sum();
        assert!(untaken <= 33 * floor.workers.len(), "a channel overflows");
        let figures: u64 = self
            .balancer
            .members()
            .map(|(_, figures)| figures.dispatched)
            .sum();
        assert!(figures <= self.arrived, "more was dispatched than came");
        for (id, figures) in self.balancer.members() {
            assert_eq!(figures.open, floor.open_at(id), "open at {id:?}");
        }
        if floor.settings.policy == ConnectionPolicy::NextAvailable {
            self.check_work_is_conserved();
        }
    }

    /// While something waits, or lies behind the work of another worker, no worker is idle.
    fn check_work_is_conserved(&self) {
        let floor = &self.floor;
        let queued = (!floor.central.is_empty()).then(|| self.waited());
        let behind_work = floor.sent_behind_work.values().min();
        let behind_work = behind_work.map(|since| floor.now - since);
        if queued.is_none() && behind_work.is_none() {
            return;
        }
        for (id, worker) in &floor.workers {
            let idle_for = worker
                .idle_since
                .filter(|_| worker.is_idle() && worker.channel.is_empty())
                .filter(|_| floor.open_at(*id) < floor.limit())
                // One whose channel took nothing is tried again only after a while.
                .map(|since| since.max(worker.refused_at.unwrap_or(0)))
                .map_or(0, |since| floor.now - since);
            let patience = if worker.blind && !worker.probes {
                IDLE_UNSEEN
            } else {
                IDLE_WHILE_WAITING
            };
            let queued = queued.is_none_or(|waited| waited.min(idle_for) <= patience);
            let patience = patience + UNSEEN_WORK;
            let behind_work = behind_work.is_none_or(|lies| lies.min(idle_for) <= patience);
            assert!(
                queued && behind_work,
                "{id:?} is idle for {idle_for} ns while {} connections wait, and {} behind \
                 work\n{worker:?}\n{:#?}",
                floor.central.len(),
                floor.sent_behind_work.len(),
                self.balancer
            );
        }
    }

    /// How long the oldest in the central queue has waited there, at the least.
    fn waited(&self) -> Nanos {
        self.balancer
            .oldest()
            .map_or(0, |arrived| self.floor.now - arrived)
    }
}
