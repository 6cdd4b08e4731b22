//! Random bytes and random conversations, from printed seeds.

mod conversation;
mod properties;
#[path = "../../http1/tests/properties/soup.rs"]
mod soup;

use fastrand::Rng;
use framing::{Connection, Seen};

use conversation::{Conversation, Side};

#[test]
fn what_must_hold_of_any_bytes_holds_of_random_ones() {
    for (name, property) in properties::ALL {
        for seed in 0..8_000 {
            let bytes = soup::soup(&mut Rng::with_seed(seed));
            let held = std::panic::catch_unwind(|| property(&bytes));
            assert!(
                held.is_ok(),
                "{name}, seed {seed}: {}",
                bytes.escape_ascii()
            );
        }
    }
}

/// Both sides of a conversation, cut and mixed at random: at each byte the connection is idle if and
/// only if nothing is in progress.
#[test]
fn a_connection_is_idle_exactly_when_nothing_is_in_progress() {
    let mut idle = 0;
    for seed in 0..8_000 {
        let mut random = Rng::with_seed(seed);
        let mut conversation = Conversation::new(&mut random);
        let mut connection = Connection::new();
        while let Some((side, bytes)) = conversation.next(&mut random) {
            match side {
                Side::Client => connection.received(&bytes),
                Side::Server => connection.sent(&bytes),
                Side::File => connection.sent_unseen(bytes.len() as u64),
            }
            let seen = connection.seen();
            assert_eq!(
                seen == Seen::Idle,
                conversation.is_idle(),
                "seed {seed}, {seen:?} after {side:?} {}",
                bytes.escape_ascii()
            );
            assert_ne!(seen, Seen::Opaque, "seed {seed}");
            idle += usize::from(seen == Seen::Idle);
        }
        assert_eq!(connection.seen(), Seen::Idle, "seed {seed}");
    }
    assert!(idle > 10_000, "{idle}");
}
