//! Every request ends here, once, and is counted for what became of it.

use balance::IdMap;
use telemetry::counters::Ended;
use telemetry::figures::WorkerRequests;

use super::Outcome;
use super::record::Record;
use crate::context::Context;
use crate::detect::Spoken;
use crate::downstream::client::{Client, Phase};
use crate::listener::Listener;
use crate::slab::Slab;
use telemetry::ids::Place;

/// A request is over.
pub(crate) fn account(id: u64, mut record: Record, outcome: Outcome, cx: &mut Context) {
    if let Some(queue) = &cx.settings.access
        && let Some(entry) = record.entry(cx.io.now, outcome)
    {
        queue.put(entry);
    }
    if let Some(client) = record.client
        && record.has_place
    {
        cx.limits.per_client.free(client);
    }
    let Some(listener) = cx.listeners.get_mut(id) else {
        return;
    };
    listener.open -= 1;
    if listener.shut && listener.open == 0 {
        cx.listeners.remove(id);
        return;
    }
    listener.count_worker(record.worker, outcome);
    let answered_at = record.answered_at;
    let first_byte = answered_at.map(|at| at.saturating_sub(record.since));
    let ended = match outcome {
        Outcome::Answered => {
            listener.spoken = Spoken::Http;
            Ended::Answered
        }
        Outcome::Upgraded => Ended::Upgraded,
        Outcome::Aborted => Ended::Aborted,
        Outcome::Failed(refusal) => Ended::Failed(refusal.status()),
    };
    let status = record.told(outcome);
    listener.counters.ended(ended, status, first_byte);
}

/// A request goes to another proxy before a worker has had it: that one counts it.
pub(crate) fn moved(id: u64, record: Record, cx: &mut Context) {
    if let Some(client) = record.client
        && record.has_place
    {
        cx.limits.per_client.free(client);
    }
    if let Some(listener) = cx.listeners.get_mut(id) {
        listener.open -= 1;
        listener.counters.moved();
    }
}

/// What was counted of each worker at a listener, by their places, with what is in progress.
pub(crate) fn workers(
    id: u64,
    listener: &Listener,
    clients: &Slab<Client>,
) -> IdMap<Place, WorkerRequests> {
    let mut workers = listener.counters.workers().clone();
    let here = clients.iter().filter(|(_, client)| client.listener == id);
    let busy = here.filter_map(|(_, client)| match &client.phase {
        Phase::Serving(exchange) => exchange.record.worker,
        Phase::Tunnel(tunnel) => tunnel.record.worker,
        _ => None,
    });
    for place in busy {
        let worker = workers.entry(place).or_default();
        worker.total += 1;
        worker.in_progress += 1;
    }
    workers
}
