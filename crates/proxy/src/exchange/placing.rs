//! Asking for a worker for a request, and trying another one where the first has failed.

use balance::{MemberId, Placed, Ticket};
use http1::Refusal;

use super::{Stage, ending};
use crate::Workers;
use crate::context::Context;
use crate::detect::NO_ANSWER;
use crate::downstream::client::{Client, Step};
use crate::hand_over::successor;
use crate::outcome::Outcome;
use crate::upstream::handoff::{self, Route};
use crate::upstream::loops::View;

/// Asks for a worker for the client's request.
pub(crate) fn arrive<W: Workers>(
    client: &mut Client,
    cx: &mut Context,
    workers: &mut W,
) -> Result<Step, Refusal> {
    if cx.heir.is_known() {
        return successor::place(client, cx);
    }
    let Some(arrival) = client.arrival() else {
        return Ok(Step::Wait);
    };
    let Some(listener) = cx.listeners.get_mut(client.listener) else {
        return Ok(Step::Over);
    };
    let now = cx.io.now;
    let mut view = View {
        workers,
        now,
        upstream: &cx.upstream,
    };
    match listener.balancer.arrive(now, arrival, &mut view) {
        Placed::At(member) => {
            start(client, member, Route::Any, cx, workers);
            Ok(Step::On)
        }
        Placed::Waits => {
            // It may be staged.
            cx.ready.place_at(client.listener);
            Ok(Step::Wait)
        }
        Placed::Refused => Err(Refusal::NoWorker),
    }
}

/// Gives the client's request to this worker.
pub(crate) fn start<W: Workers>(
    client: &mut Client,
    member: MemberId,
    route: Route,
    cx: &mut Context,
    workers: &mut W,
) {
    let is_handed = handoff::hand(client, member, route, cx, workers).is_some();
    let now = cx.io.now;
    let Some(listener) = cx.listeners.get_mut(client.listener) else {
        if !is_handed {
            start_in_vain(member, Ticket(client.key.bits()), cx);
        }
        return;
    };
    if is_handed {
        if let Some(exchange) = client.exchange() {
            exchange.record.worker = listener.place(member);
        }
        return;
    }
    // It waits on, and goes to the next worker that can have it.
    let since = client.exchange().map_or(now, |it| it.waits_since);
    match client.arrival() {
        Some(arrival) => listener.balancer.came_back(now, member, arrival, since),
        None => listener.balancer.ended(now, member),
    }
}

/// The client that this worker was chosen for is gone.
pub(crate) fn start_in_vain(member: MemberId, ticket: Ticket, cx: &mut Context) {
    if let Some(pool) = cx.upstream.pools.get(&member)
        && let Some(listener) = cx.listeners.get_mut(pool.listener)
    {
        listener.balancer.left(cx.io.now, member, ticket);
    }
}

/// Sends the client's request again, to another worker if there is one, where that cannot hurt.
/// Whether it does.
pub(crate) fn retry<W: Workers>(client: &mut Client, cx: &mut Context, workers: &mut W) -> bool {
    let (key, id, now) = (client.key, client.listener, cx.io.now);
    let Some(exchange) = client.exchange() else {
        return false;
    };
    let may = cx.settings.retry_idempotent
        && exchange.repeatable
        && !exchange.begun
        && exchange.answer.is_none();
    if !may || !cx.limits.retries.spend() {
        return false;
    }
    exchange.repeatable = false;
    let stage = std::mem::replace(&mut exchange.stage, Stage::Waiting);
    if let Stage::With(member, _) = stage {
        exchange.failed = Some(member);
    }
    exchange.waits_since = now;
    let worker = exchange.record.worker.take();
    if let Some(listener) = cx.listeners.get_mut(id) {
        listener.counters.retried();
        listener.count_worker(worker, Outcome::Failed(Refusal::BadWorker(NO_ANSWER)));
    }
    ending::abandon(stage, id, key, cx);
    arrive(client, cx, workers).is_ok()
}
