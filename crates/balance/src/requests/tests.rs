//! The balancer of requests, with loops that are as a test says.

use super::*;
use crate::times::MILLISECOND;

mod streams;

/// Loops that are as a test says.
#[derive(Default)]
struct Scripted {
    looks: Vec<(u64, Look)>,
    unread: Vec<u64>,
    probes: Vec<u64>,
    acceptors: usize,
    staged: Vec<u64>,
}

impl Loops for Scripted {
    fn look(&mut self, member: MemberId) -> Look {
        let known = self.looks.iter().find(|(id, _)| *id == member.0);
        known.map_or(Look::Waiting, |(_, look)| *look)
    }

    fn unread(&mut self, member: MemberId) -> bool {
        self.unread.contains(&member.0)
    }

    fn is_staged(&mut self, member: MemberId) -> bool {
        self.staged.contains(&member.0)
    }

    fn acceptors(&mut self, _: MemberId) -> usize {
        self.acceptors
    }

    fn probe(&mut self, member: MemberId) -> bool {
        self.probes.push(member.0);
        true
    }

    fn watch(&mut self, _: MemberId, _: bool) {}
}

fn balancer(policy: RequestPolicy, max_concurrency: usize) -> RequestBalancer {
    let mut balancer = RequestBalancer::new(RequestSettings {
        policy,
        max_concurrency,
        queue: 4,
        queue_timeout: 1000 * MILLISECOND,
    });
    for id in 0..3 {
        balancer.join(MemberId(id), id);
    }
    balancer
}

fn arrival(number: u64) -> Arrival {
    Arrival {
        ticket: Ticket(number),
        client: Client::unknown(number),
        wants: None,
        failed: None,
    }
}

#[test]
fn three_requests_at_once_reach_three_members() {
    for policy in [
        RequestPolicy::NextAvailable,
        RequestPolicy::RoundRobin,
        RequestPolicy::LeastConn,
    ] {
        let mut balancer = balancer(policy, usize::MAX);
        for round in 0..5 {
            let mut reached: Vec<_> = (0..3)
                .map(|n| balancer.arrive(round, arrival(n), &mut Scripted::default()))
                .collect();
            reached.sort_by_key(|placed| format!("{placed:?}"));
            let all = [0, 1, 2].map(|id| Placed::At(MemberId(id)));
            assert_eq!(reached, all, "{policy:?}");
            for id in 0..3 {
                balancer.ended(round, MemberId(id));
            }
        }
    }
}

/// Three members, each with the request of its number; member 2 began last.
fn all_busy(max_concurrency: usize) -> (RequestBalancer, Scripted) {
    let mut balancer = balancer(RequestPolicy::NextAvailable, max_concurrency);
    let mut loops = Scripted::default();
    for n in 0..3 {
        let placed = balancer.arrive(n, arrival(n), &mut loops);
        assert_eq!(placed, Placed::At(MemberId(n)));
    }
    loops.looks = [0, 1, 2].map(|id| (id, Look::Running)).to_vec();
    (balancer, loops)
}

/// The same; request 3 is staged behind member 2, and request 4 behind member 1.
fn two_staged() -> (RequestBalancer, Scripted) {
    let (mut balancer, mut loops) = all_busy(usize::MAX);
    for (n, member) in [(3, 2), (4, 1)] {
        assert_eq!(balancer.arrive(n, arrival(n), &mut loops), Placed::Waits);
        let next = balancer.next(n, &mut loops);
        assert!(
            matches!(next, Some(Next::Stage(it, at)) if it.ticket == Ticket(n) && at == MemberId(member)),
            "{next:?}"
        );
        loops.staged.push(member);
        assert!(balancer.next(n, &mut loops).is_none());
    }
    (balancer, loops)
}

#[test]
fn what_all_may_not_have_waits_and_goes_to_the_first_that_frees() {
    let (mut balancer, mut loops) = all_busy(1);
    assert_eq!(balancer.arrive(3, arrival(3), &mut loops), Placed::Waits);
    assert!(balancer.next(3, &mut loops).is_none());
    balancer.ended(4, MemberId(1));
    loops.looks[1].1 = Look::Waiting;
    let next = balancer.next(4, &mut loops);
    let Some(Next::Give(first, id)) = next else {
        panic!("{next:?}");
    };
    assert_eq!((first.ticket, id), (Ticket(3), MemberId(1)));
}

#[test]
fn a_member_that_frees_gets_the_oldest_that_is_staged_elsewhere() {
    let (mut balancer, mut loops) = two_staged();
    balancer.arrive(5, arrival(5), &mut loops);
    balancer.ended(5, MemberId(0));
    loops.looks[0].1 = Look::Waiting;
    let next = balancer.next(5, &mut loops);
    assert!(matches!(next, Some(Next::Recall(MemberId(2)))), "{next:?}");
    balancer.taken_back(6, MemberId(2), arrival(3), 3);
    loops.staged.retain(|member| *member != 2);
    let next = balancer.next(6, &mut loops);
    assert!(
        matches!(next, Some(Next::Give(it, MemberId(0))) if it.ticket == Ticket(3)),
        "{next:?}"
    );
    // Request 5 takes its place, and the queue is empty.
    loops.looks[0].1 = Look::Running;
    let next = balancer.next(7, &mut loops);
    assert!(
        matches!(next, Some(Next::Stage(it, _)) if it.ticket == Ticket(5)),
        "{next:?}"
    );
    assert_eq!(balancer.waiting(), 0);
}

#[test]
fn a_worker_that_takes_what_was_staged_is_busy_with_it() {
    let (mut balancer, mut loops) = two_staged();
    balancer.ended(5, MemberId(2));
    assert_eq!(balancer.turned(5, MemberId(2), &mut loops), None);
    loops.staged.retain(|member| *member != 2);
    assert_eq!(balancer.turned(6, MemberId(2), &mut loops), Some(Ticket(3)));
    let figures = balancer.members().find(|(id, _, _)| *id == MemberId(2));
    assert_eq!(figures.map(|(_, _, it)| it.in_progress), Some(1));
    // Nothing is staged there before it has read that.
    loops.unread = vec![2];
    balancer.arrive(7, arrival(5), &mut loops);
    let next = balancer.next(7, &mut loops);
    assert!(
        matches!(next, Some(Next::Stage(_, MemberId(0)))),
        "{next:?}"
    );
    balancer.arrive(8, arrival(6), &mut loops);
    assert!(balancer.next(8, &mut loops).is_none());
    loops.unread.clear();
    let asked = balancer.deadline().unwrap();
    assert!(asked < 8 + MILLISECOND, "{asked}");
    let next = balancer.next(asked, &mut loops);
    assert!(
        matches!(next, Some(Next::Stage(_, MemberId(2)))),
        "{next:?}"
    );
}

#[test]
fn nothing_lies_behind_a_loop_that_stands_still_for_longer_than_usual() {
    let (mut balancer, mut loops) = two_staged();
    let late = 2 * MILLISECOND;
    let mut recalled = Vec::new();
    while let Some(next) = balancer.next(late, &mut loops) {
        let Next::Recall(member) = next else {
            panic!("{next:?}");
        };
        let number = if member == MemberId(2) { 3 } else { 4 };
        balancer.taken_back(late, member, arrival(number), number);
        loops.staged.retain(|it| *it != member.0);
        recalled.push(member.0);
    }
    recalled.sort_unstable();
    assert_eq!(recalled, [1, 2]);
    assert_eq!(balancer.waiting(), 2);
    // In their old order, and once its loop has turned a member gets something again.
    balancer.turned(late, MemberId(1), &mut loops);
    balancer.ended(late, MemberId(1));
    let next = balancer.next(late, &mut loops);
    assert!(
        matches!(next, Some(Next::Give(it, MemberId(1))) if it.ticket == Ticket(3)),
        "{next:?}"
    );
}

/// Most take a few milliseconds here, and some a hundred: nothing waits behind one of these for longer than what came
/// later waits behind others, and it has something to go on with.
#[test]
fn what_lies_behind_longer_work_than_most_gives_way_to_what_came_later() {
    for waits in [false, true] {
        let (mut balancer, mut loops) = two_staged();
        for run in [[2; 30].as_slice(), &[100]].concat() {
            balancer.runs.record(run * MILLISECOND);
        }
        balancer.arrive(5, arrival(5), &mut loops);
        let next = balancer.next(5, &mut loops);
        assert!(
            matches!(next, Some(Next::Stage(_, MemberId(0)))),
            "{next:?}"
        );
        loops.staged.push(0);
        if waits {
            balancer.arrive(6, arrival(6), &mut loops);
        }
        let late = 20 * MILLISECOND;
        assert!(balancer.next(late, &mut loops).is_none(), "all have one");
        // Member 2 takes its own: what it does now is young.
        loops.staged.retain(|it| *it != 2);
        assert_eq!(
            balancer.turned(late, MemberId(2), &mut loops),
            Some(Ticket(3))
        );
        let next = balancer.next(late, &mut loops);
        assert!(matches!(next, Some(Next::Recall(MemberId(1)))), "{next:?}");
        loops.staged.retain(|it| *it != 1);
        balancer.taken_back(late, MemberId(1), arrival(4), 4);
        let next = balancer.next(late, &mut loops);
        assert!(
            matches!(next, Some(Next::Stage(it, MemberId(2))) if it.ticket == Ticket(4)),
            "{next:?}"
        );
        loops.staged.push(2);
        let next = balancer.next(late, &mut loops);
        match next {
            Some(Next::Stage(it, MemberId(1))) if waits => assert_eq!(it.ticket, Ticket(6)),
            None if !waits => {}
            _ => panic!("{next:?}"),
        }
    }
}

/// However long loops usually stand still here.
#[test]
fn a_staged_request_is_overdue_in_its_time() {
    let (mut balancer, mut loops) = all_busy(usize::MAX);
    let long = 5000 * MILLISECOND;
    balancer.ended(long, MemberId(2));
    balancer.ended(long, MemberId(2));
    loops.looks[2].1 = Look::Waiting;
    let placed = balancer.arrive(long, arrival(3), &mut loops);
    assert_eq!(placed, Placed::At(MemberId(2)));
    loops.looks[2].1 = Look::Running;
    balancer.arrive(long, arrival(4), &mut loops);
    let next = balancer.next(long, &mut loops);
    assert!(
        matches!(next, Some(Next::Stage(_, MemberId(2)))),
        "{next:?}"
    );
    loops.staged.push(2);
    let early = long + 999 * MILLISECOND;
    assert!(balancer.next(early, &mut loops).is_none());
    let late = long + 1000 * MILLISECOND;
    let next = balancer.next(late, &mut loops);
    assert!(matches!(next, Some(Next::Recall(MemberId(2)))), "{next:?}");
    balancer.taken_back(late, MemberId(2), arrival(4), long);
    loops.staged.clear();
    assert!(balancer.next(late, &mut loops).is_none());
    assert_eq!(balancer.overdue(late).map(|it| it.ticket), Some(Ticket(4)));
}

#[test]
fn the_client_of_a_staged_request_may_leave() {
    let (mut balancer, mut loops) = two_staged();
    balancer.left(5, MemberId(2), Ticket(3));
    balancer.left(5, MemberId(1), Ticket(1));
    let has = |balancer: &RequestBalancer, id| {
        let mut members = balancer.members();
        let (_, _, figures) = members.find(|(it, _, _)| *it == MemberId(id)).unwrap();
        figures.in_progress
    };
    assert_eq!((has(&balancer, 2), has(&balancer, 1)), (1, 1));
    loops.staged.clear();
    assert_eq!(balancer.turned(6, MemberId(2), &mut loops), None);
    assert_eq!(balancer.turned(6, MemberId(1), &mut loops), Some(Ticket(4)));
    assert!(!balancer.has_more());
}

#[test]
fn a_loop_that_waits_with_requests_in_progress_is_free_once_it_has_read() {
    let mut balancer = balancer(RequestPolicy::NextAvailable, usize::MAX);
    let mut loops = Scripted::default();
    for n in 0..3 {
        balancer.arrive(0, arrival(n), &mut loops);
    }
    loops.unread = vec![0, 1];
    let placed = balancer.arrive(1, arrival(3), &mut loops);
    assert_eq!(placed, Placed::At(MemberId(2)));
}

/// Processes that share one channel, as those of a server that forks.
#[test]
fn a_member_of_several_processes_has_as_many_requests() {
    let mut balancer = balancer(RequestPolicy::NextAvailable, usize::MAX);
    let mut loops = Scripted {
        acceptors: 2,
        looks: [0, 1, 2].map(|id| (id, Look::Unknown)).to_vec(),
        ..Scripted::default()
    };
    for n in 0..6 {
        let placed = balancer.arrive(0, arrival(n), &mut loops);
        assert!(matches!(placed, Placed::At(_)), "{n}: {placed:?}");
    }
    assert!(balancer.members().all(|(_, _, it)| it.in_progress == 2));
    let placed = balancer.arrive(0, arrival(6), &mut loops);
    assert!(!matches!(placed, Placed::At(_)), "{placed:?}");
}

#[test]
fn max_concurrency_holds_for_every_policy_and_the_queue_is_bounded() {
    for policy in [
        RequestPolicy::NextAvailable,
        RequestPolicy::RoundRobin,
        RequestPolicy::LeastConn,
        RequestPolicy::IpHash,
        RequestPolicy::Sticky,
    ] {
        let mut balancer = balancer(policy, 1);
        let mut loops = Scripted::default();
        let placed: Vec<_> = (0..40)
            .map(|n| balancer.arrive(n, arrival(n), &mut loops))
            .collect();
        assert!(balancer.members().all(|(_, _, it)| it.in_progress <= 1));
        assert_eq!(balancer.waiting(), 4, "{policy:?}");
        assert_eq!(placed.last(), Some(&Placed::Refused));
        assert!(balancer.overdue(10).is_none());
        assert!(balancer.overdue(2000 * MILLISECOND).is_some());
    }
}

#[test]
fn clients_and_cookies_stick() {
    let mut hashed = balancer(RequestPolicy::IpHash, usize::MAX);
    let mut loops = Scripted::default();
    let first = hashed.arrive(0, arrival(7), &mut loops);
    assert_eq!(hashed.arrive(1, arrival(7), &mut loops), first);
    let mut sticky = balancer(RequestPolicy::Sticky, usize::MAX);
    for _ in 0..3 {
        let wants = Arrival {
            wants: Some(2),
            ..arrival(1)
        };
        assert_eq!(sticky.arrive(0, wants, &mut loops), Placed::At(MemberId(2)));
    }
    let gone = Arrival {
        wants: Some(77),
        ..arrival(1)
    };
    assert!(matches!(sticky.arrive(0, gone, &mut loops), Placed::At(_)));
}

#[test]
fn what_a_member_failed_goes_to_another_one() {
    for policy in [
        RequestPolicy::NextAvailable,
        RequestPolicy::RoundRobin,
        RequestPolicy::LeastConn,
        RequestPolicy::IpHash,
        RequestPolicy::Sticky,
    ] {
        let mut balancer = balancer(policy, usize::MAX);
        let mut loops = Scripted::default();
        for id in 0..3 {
            let failed = Arrival {
                wants: Some(id),
                failed: Some(MemberId(id)),
                ..arrival(id)
            };
            let placed = balancer.arrive(0, failed, &mut loops);
            assert_ne!(placed, Placed::At(MemberId(id)), "{policy:?}");
            assert_ne!(placed, Placed::Waits, "{policy:?}");
        }
        balancer.leave(MemberId(1));
        balancer.leave(MemberId(2));
        let last = Arrival {
            failed: Some(MemberId(0)),
            ..arrival(9)
        };
        let placed = balancer.arrive(1, last, &mut loops);
        assert_eq!(placed, Placed::At(MemberId(0)), "{policy:?}");
    }
}

#[test]
fn what_came_back_goes_first_and_elsewhere() {
    let mut balancer = balancer(RequestPolicy::LeastConn, usize::MAX);
    let mut loops = Scripted::default();
    let Placed::At(first) = balancer.arrive(0, arrival(1), &mut loops) else {
        panic!("nobody took it");
    };
    balancer.came_back(1, first, arrival(1), 0);
    let next = balancer.next(1, &mut loops);
    let Some(Next::Give(back, id)) = next else {
        panic!("{next:?}");
    };
    assert_eq!(back.ticket, Ticket(1));
    assert_ne!(id, first);
    let total: usize = balancer.members().map(|(_, _, it)| it.in_progress).sum();
    assert_eq!(total, 1);
}

/// What comes back goes first, with its time in the queue counted anew; those behind it have waited longer.
#[test]
fn what_waits_behind_a_younger_one_is_overdue_in_its_time() {
    let mut balancer = balancer(RequestPolicy::LeastConn, 1);
    let mut loops = Scripted::default();
    for n in 0..4 {
        balancer.arrive(0, arrival(n), &mut loops);
    }
    let late = 900 * MILLISECOND;
    balancer.came_back(late, MemberId(0), arrival(0), late);
    assert!(balancer.overdue(late).is_none());
    let overdue = balancer.overdue(1000 * MILLISECOND).unwrap();
    assert_eq!(overdue.ticket, Ticket(3));
    assert!(balancer.overdue(1000 * MILLISECOND).is_none());
}
