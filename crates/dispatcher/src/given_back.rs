//! Taking what members give back.

use balance::MemberId;

use super::context::Context;
use super::placement::Returned;

/// How many batches are taken of a member that is no more: the kernel keeps fewer descriptors in a
/// socket.
const LAST_BATCHES: usize = 1024;

/// A member has given connections back: others get them. Whether there may be more.
pub(super) fn take(member: MemberId, cx: &mut Context) -> bool {
    let listener = cx.members.listener_of(member);
    let open = listener.and_then(|listener| cx.listeners.all.get(&listener));
    let returned = Returned {
        member,
        listener,
        port: open.and_then(|listener| listener.address.port()),
        ends_for_good: cx.draining.ends_for_good(member),
        number: cx.listeners.accepted,
    };
    cx.placement
        .take_given_back(returned, cx.clock, &mut cx.workers, &cx.registration)
}

/// A member is no more: what it has given back, others get.
pub(super) fn take_last(member: MemberId, cx: &mut Context) {
    for _ in 0..LAST_BATCHES {
        if !take(member, cx) {
            break;
        }
    }
    cx.placement.forget(member, &cx.registration);
}
