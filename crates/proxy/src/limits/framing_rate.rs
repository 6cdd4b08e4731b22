//! How fast bodies may bring framing beyond what they bring of data.
//!
//! A share of each turn keeps a client that sends tiny chunks from holding up the others for long, but
//! not from taking all the time that nobody else uses, turn after turn: of this thread, and of the
//! worker that it wakes each time. Chunks of more than a few bytes bring more data than framing,
//! and nobody types a million smaller ones in a second. So framing beyond data has a rate, and who
//! exceeds it waits.
//!
//! The rate is kept as by the generic cell rate algorithm (ITU-T I.371): one moment for each payer, up
//! to which it has paid.

use std::collections::HashMap;

use balance::Nanos;

use super::shares::Sharer;
use crate::slab::Key;

/// What a byte of framing beyond data takes: so a megabyte in a second.
const BYTE: Nanos = 1_000;

/// So far ahead of the rate somebody may be: by 64 KiB.
const AHEAD: Nanos = 64 * 1024 * BYTE;

/// Who waits goes on when it may read as much as this, and not with each byte.
const WORTHWHILE: Nanos = 8 * 1024 * BYTE;

/// Whose rate it is: that of all connections of an address, or of one that counts towards none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Payer {
    Address(Sharer),
    Connection(Key),
}

/// The moments up to which payers have paid. Who is not here has paid for nothing.
#[derive(Debug, Default)]
pub(crate) struct FramingRate {
    paid: HashMap<Payer, Nanos>,
}

impl FramingRate {
    /// Notes what has been read of a body: bytes of framing, and of data.
    pub(crate) fn take(&mut self, payer: Payer, framing: usize, data: usize, now: Nanos) {
        let excess = framing.saturating_sub(data);
        if excess > 0 {
            let excess = u64::try_from(excess).unwrap_or(u64::MAX);
            let paid = self.paid.entry(payer).or_insert(now);
            *paid = (*paid).max(now).saturating_add(excess.saturating_mul(BYTE));
        }
    }

    /// When this one may go on, if it has to wait.
    pub(crate) fn waits_until(&self, payer: Payer, now: Nanos) -> Option<Nanos> {
        let paid = self.paid.get(&payer)?;
        let ahead = paid.saturating_sub(now);
        (ahead > AHEAD).then(|| paid.saturating_sub(AHEAD).saturating_add(WORTHWHILE))
    }

    /// Forgets those for whom nothing is left to pay.
    pub(crate) fn forget(&mut self, now: Nanos) {
        self.paid.retain(|_, paid| *paid > now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn payer() -> Payer {
        Payer::Address(Sharer::of(Ipv4Addr::LOCALHOST.into()))
    }

    /// How many bytes of framing somebody gets through who asks whenever it may, `step` at a time.
    fn in_ten_seconds(step: usize, data: usize) -> usize {
        let mut rate = FramingRate::default();
        let (mut now, mut all) = (SECOND, 0);
        while now < 11 * SECOND {
            match rate.waits_until(payer(), now) {
                Some(until) => {
                    assert!(until > now);
                    now = until;
                }
                // A step takes its time, too.
                None => {
                    rate.take(payer(), step, data, now);
                    all += step;
                    now += 10_000;
                }
            }
        }
        all
    }

    #[test]
    fn framing_beyond_data_has_a_rate() {
        for step in [1_000, 8192] {
            let all = in_ten_seconds(step, 0);
            assert!((9_900_000..10_200_000).contains(&all), "{step}: {all}");
        }
        // As fast as its steps are: 8192 bytes in 10 µs each.
        assert_eq!(in_ten_seconds(8192, 8192), 8192 * 1_000_000);
    }

    #[test]
    fn who_has_paid_is_forgotten() {
        let mut rate = FramingRate::default();
        rate.take(payer(), 1_000_000, 0, SECOND);
        rate.forget(SECOND);
        let until = rate.waits_until(payer(), SECOND).unwrap();
        assert!((SECOND..2 * SECOND).contains(&until));
        assert_eq!(rate.waits_until(payer(), until), None);
        rate.forget(2 * SECOND);
        assert!(rate.paid.is_empty());
        let other = Payer::Address(Sharer::of(Ipv4Addr::BROADCAST.into()));
        assert_eq!(rate.waits_until(other, SECOND), None);
    }
}
