//! Where the kernel does not tell whether a worker has read what it was sent, two connections that
//! come together go to two workers all the same.

use std::collections::BTreeMap;

use balance::{
    Channels, Client, ConnectionBalancer, ConnectionPolicy, ConnectionSettings, Last, Look,
    MemberId, Nanos, Refusal, Untaken,
};

const MILLISECOND: Nanos = 1_000_000;

/// Channels of workers that wait in their loops, and take what they are sent when they are woken.
#[derive(Default)]
struct Idle {
    sent: BTreeMap<u32, MemberId>,
    untaken: BTreeMap<MemberId, Untaken>,
}

impl Channels for Idle {
    type Connection = u32;

    fn look(&mut self, _: MemberId) -> Look {
        Look::Waiting
    }

    fn computed(&mut self, _: MemberId) -> Option<Nanos> {
        Some(0)
    }

    fn last(&mut self, _: MemberId) -> Last {
        Last::Unknown
    }

    fn untaken(&mut self, member: MemberId) -> Untaken {
        self.untaken.get(&member).copied().unwrap_or_default()
    }

    fn send(&mut self, member: MemberId, connection: u32) -> Result<(), u32> {
        self.sent.insert(connection, member);
        self.untaken.entry(member).or_default().connections += 1;
        Ok(())
    }

    fn take_back(&mut self, _: MemberId) -> Option<u32> {
        None
    }

    fn probe(&mut self, member: MemberId) -> bool {
        self.untaken.entry(member).or_default().probe = true;
        true
    }

    fn watch(&mut self, _: MemberId, _: bool) {}

    fn refuse(&mut self, connection: u32, _: Refusal) {
        self.sent.remove(&connection);
    }
}

#[test]
fn two_that_come_together_go_to_two_workers() {
    // How many came before, how many ends of the first worker's connections were not heard of yet, and
    // how long ago that was.
    for before in 0..4 {
        for unheard in 0..4 {
            for tenths in 0..100 {
                let [first, second] = pair(before, unheard, tenths * MILLISECOND / 10);
                let case = format!("{before} before, {unheard} unheard of, {tenths} tenths");
                assert_ne!(first, second, "{case}");
            }
        }
    }
}

fn pair(before: u32, unheard: usize, pause: Nanos) -> [MemberId; 2] {
    let mut balancer = ConnectionBalancer::new(ConnectionSettings {
        policy: ConnectionPolicy::NextAvailable,
        queue: 10,
        queue_timeout: 1000 * MILLISECOND,
        max_connections: None,
    });
    let mut idle = Idle::default();
    let client = Client::unknown(1);
    let mut now = 0;
    for (id, open) in [(1, unheard), (2, 0)] {
        balancer.join(now, MemberId(id), id, open, &mut idle);
    }
    for connection in 0..before {
        balancer.arrive(now, client, connection, &mut idle);
        now += MILLISECOND;
        idle.untaken.clear();
        balancer.tick(now, &mut idle);
        balancer.ended(now, idle.sent[&connection], &mut idle);
    }
    now += pause;
    for connection in [before, before + 1] {
        balancer.arrive(now, client, connection, &mut idle);
        now += MILLISECOND / 100;
    }
    for _ in 0..20 {
        let woken: Vec<_> = std::mem::take(&mut idle.untaken).into_keys().collect();
        for member in woken {
            balancer.turned(now, member, &mut idle);
        }
        now += MILLISECOND;
        balancer.tick(now, &mut idle);
    }
    [idle.sent[&before], idle.sent[&(before + 1)]]
}
