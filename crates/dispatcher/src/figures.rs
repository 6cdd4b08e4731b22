//! What the dispatcher has counted, gathered when somebody asks: nothing is shared or locked.

use std::collections::BTreeMap;

use balance::{MemberFigures, MemberId, Waits};

use super::ids::{ListenerId, Place};
use super::listeners::Listener;
use super::members::Membership;
use super::turn::Turn;
use telemetry::figures::{ListenerFigures, LoopSeenBy, WaitFigures, WorkerFigures};

impl Turn {
    /// What was counted so far, for each listener, in the order of their addresses.
    pub(super) fn figures(&mut self) -> Vec<ListenerFigures> {
        let mut all: Vec<_> = self
            .listeners
            .all
            .iter()
            .map(|(id, listener)| (listener.address.clone(), *id))
            .collect();
        all.sort();
        let ended = self.listeners.ended.clone();
        let open = all.into_iter().filter_map(|(_, id)| self.figures_at(id));
        ended.into_iter().chain(open.collect::<Vec<_>>()).collect()
    }

    /// What was counted at this listener.
    pub(super) fn figures_at(&mut self, id: ListenerId) -> Option<ListenerFigures> {
        let now = self.now();
        let workers = self.workers_of(id);
        let listener = self.listeners.all.get(&id)?;
        let oldest = listener.balancer.oldest();
        Some(ListenerFigures {
            address: listener.address.to_string(),
            accepted: listener.accepted,
            waiting: listener.balancer.waiting(),
            waiting_for: oldest.map_or(0, |since| now.saturating_sub(since)),
            waited: waited(listener.balancer.waits()),
            refused: listener.balancer.refused(),
            requests: self.proxy.as_ref().and_then(|proxy| proxy.figures(id.0)),
            workers,
        })
    }

    /// The workers behind a listener, those that have left among them.
    fn workers_of(&mut self, id: ListenerId) -> Vec<WorkerFigures> {
        let Some(listener) = self.listeners.all.get(&id) else {
            return Vec::new();
        };
        let mut rows: BTreeMap<Place, WorkerFigures> = listener
            .past
            .iter()
            .map(|(place, past)| (*place, row(*place, past)))
            .collect();
        let present = figures_of(listener);
        let requests = self.proxy.as_ref().map(|proxy| proxy.workers(id.0));
        for (member, membership) in &self.members {
            let place = membership.place;
            let Some(figures) = present.get(member) else {
                continue;
            };
            let entry = rows
                .entry(place)
                .or_insert_with(|| row(place, &MemberFigures::default()));
            entry.dispatched += figures.dispatched;
            entry.taken_back += figures.taken_back;
            entry.open = figures.open;
            entry.pid = pid_of(membership);
            if let Some(channel) = self.workers.channels.get_mut(member) {
                entry.untaken = channel.connections();
                entry.seen_by = channel.seen_by();
            }
        }
        if let Some(requests) = requests {
            for (place, row) in &mut rows {
                let counted = requests.get(&place.key()).copied();
                row.requests = Some(counted.unwrap_or_default());
            }
        }
        rows.into_values().collect()
    }
}

fn figures_of(listener: &Listener) -> BTreeMap<MemberId, MemberFigures> {
    listener.balancer.members().collect()
}

fn pid_of(membership: &Membership) -> Option<i32> {
    membership.holders.first().map(|holder| holder.pid)
}

fn row(place: Place, past: &MemberFigures) -> WorkerFigures {
    WorkerFigures {
        instance: place.instance,
        ordinal: place.ordinal,
        pid: None,
        dispatched: past.dispatched,
        open: 0,
        untaken: 0,
        taken_back: past.taken_back,
        requests: None,
        seen_by: LoopSeenBy::Nobody,
    }
}

fn waited(waits: Waits) -> WaitFigures {
    WaitFigures {
        count: waits.count,
        mean: waits.mean(),
        p99: waits.quantile(0.99),
        longest: waits.longest,
        steps: waits.steps.to_vec(),
    }
}
