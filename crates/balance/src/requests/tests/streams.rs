//! Members that end many short requests.

use super::*;

/// Three members have a request each, and member 1 has ended 60 more, ten in each millisecond; the time after that.
/// All seem to compute. `look_on` is called after each.
fn streaming(
    mut look_on: impl FnMut(u64, Nanos, &mut RequestBalancer, &mut Scripted),
) -> (RequestBalancer, Scripted, Nanos) {
    let mut balancer = balancer(RequestPolicy::NextAvailable, usize::MAX);
    let mut loops = Scripted::default();
    for n in 0..3 {
        balancer.arrive(0, arrival(n), &mut loops);
    }
    loops.looks = [0, 1, 2].map(|id| (id, Look::Running)).to_vec();
    for n in 0..60 {
        let now = n * MILLISECOND / 10;
        balancer.ended(now, MemberId(1));
        let placed = balancer.arrive(now, arrival(n), &mut loops);
        assert_eq!(placed, Placed::At(MemberId(1)), "{n}");
        look_on(n, now, &mut balancer, &mut loops);
    }
    (balancer, loops, 6 * MILLISECOND)
}

#[test]
fn a_member_that_streams_is_sent_more_ahead() {
    let (mut balancer, mut loops, now) = streaming(|n, now, balancer, loops| {
        // A few that are over soon may be chance.
        if n == 10 {
            assert_eq!(balancer.arrive(now, arrival(99), loops), Placed::Waits);
            balancer.cancel(Ticket(99));
        }
    });
    for n in 60..64 {
        let placed = balancer.arrive(now, arrival(n), &mut loops);
        assert_eq!(placed, Placed::At(MemberId(1)), "{n}");
    }
    // It has ended nothing for a while: it may be at work on something long.
    let later = now + 3 * MILLISECOND;
    let placed = balancer.arrive(later, arrival(65), &mut loops);
    assert_eq!(placed, Placed::Waits);
}

/// A member without a request gets one before a member that streams and has one, whatever it is seen to do: the
/// other may just have begun something long. Only a loop that waits, and has read what it was sent, is as free.
#[test]
fn a_member_without_a_request_comes_before_one_that_streams() {
    for (idle, other, expected) in [
        (Look::Running, Look::Running, 2),
        (Look::Away, Look::Running, 2),
        (Look::Running, Look::Away, 2),
        (Look::Waiting, Look::Waiting, 2),
        (Look::Running, Look::Waiting, 1),
        (Look::Away, Look::Waiting, 1),
    ] {
        let (mut balancer, mut loops, now) = streaming(|_, _, _, _| {});
        balancer.ended(now, MemberId(2));
        loops.looks = vec![(0, Look::Away), (1, other), (2, idle)];
        let placed = balancer.arrive(now + 1, arrival(100), &mut loops);
        assert_eq!(placed, Placed::At(MemberId(expected)), "{idle:?} {other:?}");
    }
}
