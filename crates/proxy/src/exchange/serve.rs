//! One step of a request in progress: passes on what there is, and does what follows from it.

use http1::Refusal;

use super::{Stage, departure, ending, placing};
use crate::Workers;
use crate::context::Context;
use crate::detect::{self, NO_ANSWER, foreign, tls_greeting};
use crate::downstream::client::{Client, Phase, Step};
use crate::forward::{Passed, request, response, tunnel};

/// Passes on what can be passed on of a client's request and its response.
pub(crate) fn serve<W: Workers>(client: &mut Client, cx: &mut Context, workers: &mut W) -> Step {
    if departure::is_leaving(client, cx) {
        return Step::Over;
    }
    if cx.heir.is_known()
        && let Phase::Serving(exchange) = &client.phase
        && !matches!(exchange.stage, Stage::With(..))
    {
        return match placing::arrive(client, cx, workers) {
            Ok(step) => step,
            Err(refusal) => ending::fail(client, refusal, None, cx),
        };
    }
    if let Phase::Serving(exchange) = &client.phase
        && exchange.is_whole
    {
        let Stage::With(member, connection) = exchange.stage else {
            return Step::Wait;
        };
        tunnel::open(client, member, connection, true, &cx.listeners);
        return Step::On;
    }
    let request = request::pass(client, cx);
    match request {
        Passed::Failed(refusal, detail) => return ending::fail(client, refusal, detail, cx),
        Passed::Gone => return Step::Over,
        _ => {}
    }
    match response::pass(client, cx) {
        Passed::On | Passed::Upgraded => Step::On,
        Passed::Nothing if matches!(request, Passed::On) => Step::On,
        Passed::Nothing => Step::Wait,
        Passed::Failed(refusal, detail) => ending::fail(client, refusal, detail, cx),
        Passed::Gone => Step::Over,
        Passed::Complete => ending::finish(client, cx),
        Passed::Foreign(what) => {
            foreign::note(client.listener, what, cx);
            let refusal = Refusal::BadWorker(detect::reason(what));
            ending::fail(client, refusal, None, cx)
        }
        Passed::NoAnswer if placing::retry(client, cx, workers) => Step::On,
        Passed::NoAnswer => {
            tls_greeting::greet(client, cx, workers);
            let listener = cx.listeners.get(client.listener);
            let reason = listener.map_or(NO_ANSWER, |it| it.spoken.no_answer());
            let refusal = Refusal::BadWorker(reason);
            ending::fail(client, refusal, None, cx)
        }
    }
}
