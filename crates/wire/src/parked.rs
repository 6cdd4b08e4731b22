//! A connection that a worker's program has closed, and that lives on.

use crate::{Passed, RETURNED_LEN};

/// Bytes of an encoded [`Parked`]: other than those of what else a worker gives back or says.
pub const PARKED_LEN: usize = RETURNED_LEN + 4;

/// Goes with a connection that the program closes between two requests. Without a connection, it says
/// that the worker knows the way for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parked(
    /// What has passed over it.
    pub Passed,
);

impl Parked {
    /// The message.
    pub fn encode(self) -> [u8; PARKED_LEN] {
        let mut to = [0; PARKED_LEN];
        for (to, from) in to.iter_mut().zip(self.0.encode()) {
            *to = from;
        }
        to
    }

    /// Reads it; `None` if it is none.
    pub fn decode(from: &[u8]) -> Option<Self> {
        let (passed, rest) = from.split_at_checked(RETURNED_LEN)?;
        (rest == [0; 4]).then_some(Self(Passed::decode(passed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let parked = Parked(Passed {
            read: 1,
            written: u32::MAX,
        });
        let mut bytes = parked.encode();
        assert_eq!(Parked::decode(&bytes), Some(parked));
        assert_eq!(Passed::decode(&bytes), None);
        for other in [&bytes[1..], &bytes[..RETURNED_LEN], &[]] {
            assert_eq!(Parked::decode(other), None);
        }
        bytes[PARKED_LEN - 1] = 1;
        assert_eq!(Parked::decode(&bytes), None);
    }
}
