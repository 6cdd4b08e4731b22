//! A connection that waits for too long is refused, also where it is staged behind a worker's work.

use balance::{
    Channels, Client, ConnectionBalancer, ConnectionPolicy, ConnectionSettings, Last, Look,
    MemberId, Nanos, Refusal, Untaken,
};

const SECOND: Nanos = 1_000_000_000;

/// The channel of one worker.
#[derive(Default)]
struct Channel {
    is_busy: bool,
    lying: Vec<u32>,
    refused: Vec<u32>,
}

impl Channels for Channel {
    type Connection = u32;

    fn look(&mut self, _: MemberId) -> Look {
        match self.is_busy {
            true => Look::Away,
            false => Look::Waiting,
        }
    }

    fn computed(&mut self, _: MemberId) -> Option<Nanos> {
        Some(0)
    }

    fn last(&mut self, _: MemberId) -> Last {
        Last::Read
    }

    fn untaken(&mut self, _: MemberId) -> Untaken {
        Untaken {
            connections: self.lying.len(),
            probe: false,
        }
    }

    fn send(&mut self, _: MemberId, connection: u32) -> Result<(), u32> {
        self.lying.push(connection);
        Ok(())
    }

    fn take_back(&mut self, _: MemberId) -> Option<u32> {
        (!self.lying.is_empty()).then(|| self.lying.remove(0))
    }

    fn probe(&mut self, _: MemberId) -> bool {
        false
    }

    fn watch(&mut self, _: MemberId, _: bool) {}

    fn refuse(&mut self, connection: u32, _: Refusal) {
        self.refused.push(connection);
    }
}

#[test]
fn what_is_staged_is_refused_in_its_time() {
    let mut balancer = ConnectionBalancer::new(ConnectionSettings {
        policy: ConnectionPolicy::NextAvailable,
        queue: 10,
        queue_timeout: SECOND,
        max_connections: None,
    });
    let mut channel = Channel::default();
    let (worker, client) = (MemberId(1), Client::unknown(1));
    balancer.join(0, worker, 1, 0, &mut channel);
    balancer.arrive(0, client, 1, &mut channel);
    channel.lying.clear();
    // It takes what is staged behind that only after ten seconds: such runs are usual here.
    channel.is_busy = true;
    balancer.arrive(1, client, 2, &mut channel);
    assert_eq!(channel.lying, [2], "it is staged");
    channel.lying.clear();
    let now = 10 * SECOND;
    balancer.turned(now, worker, &mut channel);
    balancer.arrive(now, client, 3, &mut channel);
    assert_eq!(channel.lying, [3], "it is staged");
    balancer.tick(now + SECOND - 1, &mut channel);
    assert_eq!((&channel.lying[..], balancer.refused()), (&[3][..], 0));
    balancer.tick(now + SECOND, &mut channel);
    assert_eq!(channel.refused, [3]);
    assert!(channel.lying.is_empty() && balancer.waiting() == 0);
}
