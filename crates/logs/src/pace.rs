//! How often pipes are emptied: a worker that writes many small pieces would wake us for each.
//!
//! As network cards moderate their interrupts, we pause for a moment while pieces come quickly:
//! the pipe gathers them meanwhile. While nothing comes, nobody wakes.

use std::time::Duration;

/// Short enough for a pipe of 64 KiB to hold what a worker writes meanwhile, at 10 MB/s.
const PAUSE: Duration = Duration::from_millis(5);

/// Turns that follow each other more closely than this are quick.
const QUICK: Duration = Duration::from_millis(1);

/// So many quick ones in a row are a stream.
const STREAM: u32 = 8;

/// A turn that read so much will find more at once.
const MUCH: usize = 48 * 1024;

/// Decides about pauses.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Duration,
    quick: u32,
}

impl Pace {
    /// A turn has ended that read so many bytes; how long to pause. `now` is since any fixed
    /// moment.
    pub(super) fn turn(&mut self, read: usize, now: Duration) -> Option<Duration> {
        let gap = now.saturating_sub(self.last);
        self.last = now;
        if gap > QUICK + PAUSE || read == 0 {
            self.quick = 0;
        } else {
            self.quick = self.quick.saturating_add(1);
        }
        (self.quick >= STREAM && read < MUCH).then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pauses asked for in `turns` turns, each so long after the last.
    fn pauses(turns: u32, read: usize, gap: Duration) -> u32 {
        let mut pace = Pace::default();
        let mut now = Duration::from_secs(1);
        let mut pauses = 0;
        for _ in 0..turns {
            now += gap;
            if let Some(pause) = pace.turn(read, now) {
                now += pause;
                pauses += 1;
            }
        }
        pauses
    }

    #[test]
    fn single_lines_come_at_once() {
        assert_eq!(pauses(100, 80, Duration::from_millis(10)), 0);
    }

    #[test]
    fn a_stream_is_gathered() {
        assert!(pauses(1000, 80, Duration::from_micros(20)) > 900);
    }

    #[test]
    fn who_fills_the_pipe_is_not_held_up() {
        assert_eq!(pauses(1000, 64 * 1024, Duration::from_micros(20)), 0);
    }
}
