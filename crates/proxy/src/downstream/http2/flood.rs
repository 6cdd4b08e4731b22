//! Frames that ask for nothing: how many of them a client may send.
//!
//! PING, SETTINGS, WINDOW_UPDATE, PRIORITY, resets and the like each cost work, and are needed only
//! now and then: beside requests, while bytes go either way, and for signs of life. So each connection
//! has credit, which those earn and these spend. One that has spent it is ended.
//! (CVE-2019-9511 to -9518.)

use balance::Nanos;

use crate::link::frames::{Frames, http2_length};

/// What a connection has at first, and may have at most.
const CREDIT: u32 = 1000;

/// What earns credit: a request; a frame with a part of a body; this many bytes to the client, for
/// which it opens its windows again; and time.
const OF_REQUEST: u32 = 4;
const OF_DATA: u32 = 1;
const BYTES: usize = 1024;
const OF_SECOND: u64 = 20;

/// The frames that are taken in at once; the rest has its turn later.
const AT_ONCE: u32 = 128;

/// The frames that cost a unit of [`crate::limits::shares`].
const OF_UNIT: u32 = 16;

const SECOND: Nanos = 1_000_000_000;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

/// The frames of one connection.
#[derive(Debug)]
pub(crate) struct Flood {
    frames: Frames<9>,
    credit: u32,
    /// When time last earned some.
    since: Nanos,
}

/// What has been taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many bytes.
    pub(crate) len: usize,
    /// What that costs.
    pub(crate) units: u32,
    /// The client has no credit left.
    pub(crate) is_flood: bool,
}

impl Flood {
    /// The frames that come behind the client's preface, which has `preface` bytes.
    pub(crate) fn new(preface: usize, now: Nanos) -> Self {
        Self {
            frames: Frames::new(preface, http2_length),
            credit: CREDIT,
            since: now,
        }
    }

    /// Takes in what has come, up to a number of frames.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Nanos) -> Taken {
        self.earn_time(now);
        let mut rest = bytes;
        let mut count = 0;
        let mut is_flood = false;
        while count < AT_ONCE {
            let Some([a, b, c, kind, flags, ..]) = self.frames.next(&mut rest) else {
                break;
            };
            count += 1;
            let is_empty = [a, b, c] == [0; 3];
            match kind {
                HEADERS => self.earn(OF_REQUEST),
                DATA if !is_empty => self.earn(OF_DATA),
                DATA if flags & END_STREAM != 0 => {}
                _ => match self.credit.checked_sub(1) {
                    Some(left) => self.credit = left,
                    None => is_flood = true,
                },
            }
        }
        Taken {
            len: bytes.len() - rest.len(),
            units: count / OF_UNIT,
            is_flood,
        }
    }

    /// `len` bytes went to the client.
    pub(crate) fn earn_bytes(&mut self, len: usize) {
        self.earn(u32::try_from(len / BYTES).unwrap_or(u32::MAX));
    }

    fn earn_time(&mut self, now: Nanos) {
        let seconds = now.saturating_sub(self.since) / SECOND;
        self.since += seconds * SECOND;
        self.earn(u32::try_from(seconds * OF_SECOND).unwrap_or(u32::MAX));
    }

    fn earn(&mut self, credit: u32) {
        self.credit = self.credit.saturating_add(credit).min(CREDIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags];
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    }

    /// How many such frames are taken in before they are a flood.
    fn taken(frames: &[Vec<u8>], now: impl Fn(usize) -> Nanos) -> usize {
        let mut flood = Flood::new(0, 0);
        (0..10_000)
            .take_while(|n| {
                let taken = flood.take(&frames.concat(), now(*n));
                assert_eq!(taken.len, frames.concat().len());
                !taken.is_flood
            })
            .count()
    }

    #[test]
    fn what_asks_for_nothing_is_bounded() {
        let at_once = |_| 0;
        for frame in [
            frame(6, 0, &[0; 8]),
            frame(6, 1, &[0; 8]),
            frame(4, 0, b""),
            frame(8, 0, &[0, 0, 0, 1]),
            frame(2, 0, &[0; 5]),
            frame(3, 0, &[0; 4]),
            frame(0, 0, b""),
            frame(9, 0, b""),
            frame(99, 0, b"x"),
        ] {
            assert_eq!(
                taken(std::slice::from_ref(&frame), at_once),
                CREDIT as usize,
                "{frame:?}"
            );
        }
    }

    #[test]
    fn what_goes_with_requests_bodies_and_time_is_not() {
        let update = || frame(8, 0, &[0, 0, 0, 1]);
        let request = [frame(1, 5, b"x"), update(), update(), frame(3, 0, &[0; 4])];
        assert_eq!(taken(&request, |_| 0), 10_000);
        assert_eq!(
            taken(&[frame(0, 0, b"x"), frame(6, 0, &[0; 8])], |_| 0),
            10_000
        );
        assert_eq!(taken(&[frame(0, 1, b"")], |_| 0), 10_000);
        let ping = [frame(6, 0, &[0; 8])];
        assert_eq!(taken(&ping, |n| n as Nanos * SECOND / 20), 10_000);
        let mut flood = Flood::new(0, 0);
        for _ in 0..1000 {
            flood.earn_bytes(2048);
            assert!(!flood.take(&[update(), update()].concat(), 0).is_flood);
        }
    }

    #[test]
    fn a_lot_of_frames_is_taken_in_part() {
        let mut flood = Flood::new(24, 0);
        let lot = [vec![b'P'; 24], frame(4, 0, b"").repeat(200)].concat();
        let taken = flood.take(&lot, 0);
        assert_eq!((taken.len, taken.units), (24 + 128 * 9, 8));
        assert_eq!(flood.take(&lot[taken.len..], 0).len, 72 * 9);
    }
}
