//! What the dispatcher has counted, gathered when somebody asks: nothing is shared or locked.

use std::collections::BTreeMap;

use balance::ConnectionFigures;
use telemetry::figures::{ListenerFigures, LoopSeenBy, WorkerFigures};

use super::context::Context;
use super::ids::ListenerId;
use telemetry::ids::Place;

/// What was counted so far, for each listener, in the order of their addresses.
pub(super) fn of_all(cx: &mut Context) -> Vec<ListenerFigures> {
    let listeners = cx.listeners.all.iter();
    let mut all: Vec<_> = listeners
        .map(|(id, listener)| (listener.address.clone(), *id))
        .collect();
    all.sort();
    let mut figures = cx.listeners.ended.clone();
    figures.extend(all.into_iter().filter_map(|(_, id)| of(id, cx)));
    figures
}

/// What was counted at this listener.
pub(super) fn of(id: ListenerId, cx: &mut Context) -> Option<ListenerFigures> {
    let now = cx.clock.now();
    let workers = workers_at(id, cx);
    let listener = cx.listeners.all.get(&id)?;
    let waiting = cx.placement.waiting_connections(id);
    Some(ListenerFigures {
        address: listener.address.to_string(),
        accepted: listener.accepted,
        waiting: waiting.connections,
        parked: waiting.parked,
        waiting_for: waiting.oldest.map_or(0, |since| now.saturating_sub(since)),
        waited: waiting.waits.into(),
        refused: waiting.refused,
        requests: cx.placement.request_figures(id),
        workers,
    })
}

/// The workers behind a listener, those that have left among them.
fn workers_at(id: ListenerId, cx: &mut Context) -> Vec<WorkerFigures> {
    let Some(listener) = cx.listeners.all.get(&id) else {
        return Vec::new();
    };
    let mut rows: BTreeMap<Place, WorkerFigures> = listener
        .past
        .iter()
        .map(|(place, past)| (*place, row(*place, past)))
        .collect();
    let present = cx.placement.member_figures(id);
    let members = cx.members.all.iter();
    for (id, member) in members.filter(|(_, it)| it.listener == id && it.joined) {
        let figures = present.get(id).copied().unwrap_or_default();
        let place = member.place;
        let entry = rows
            .entry(place)
            .or_insert_with(|| row(place, &ConnectionFigures::default()));
        entry.dispatched += figures.dispatched;
        entry.taken_back += figures.taken_back;
        entry.open = figures.open;
        entry.pid = member.pid();
        if let Some(channel) = cx.workers.channels.get_mut(id) {
            entry.untaken = channel.connections();
            entry.seen_by = channel.seen_by();
        }
    }
    if let Some(requests) = cx.placement.worker_requests(id) {
        for (place, row) in &mut rows {
            let counted = requests.get(place).copied();
            row.requests = Some(counted.unwrap_or_default());
        }
    }
    rows.into_values().collect()
}

fn row(place: Place, past: &ConnectionFigures) -> WorkerFigures {
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
