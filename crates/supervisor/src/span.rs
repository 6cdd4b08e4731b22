//! Times in words.

use std::time::Duration;

/// The time as exactly as it was set: 300 ms, 1.6 s, 10 min.
pub(super) fn set(time: Duration) -> String {
    let ms = time.as_millis();
    if ms != 0 && ms < 1000 {
        return format!("{ms} ms");
    }
    if ms >= 120_000 && ms.is_multiple_of(60_000) {
        return format!("{} min", ms / 60_000);
    }
    let text = format!("{}.{:03}", ms / 1000, ms % 1000);
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A time that has passed, or passes, as exactly as anybody wants to know: 0.4 s, 75 min, 26 h, 3 days.
pub(super) fn lasted(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_told_in_larger_units() {
        for (ms, told) in [
            (0, "0.0 s"),
            (99, "0.0 s"),
            (1560, "1.5 s"),
            (119_999, "119.9 s"),
            (120_000, "2 min"),
            (3_600_000, "60 min"),
            (7_199_999, "119 min"),
            (7_200_000, "2 h"),
            (172_799_999, "47 h"),
            (172_800_000, "2 days"),
            (u64::MAX, "213503982334 days"),
        ] {
            assert_eq!(lasted(Duration::from_millis(ms)), told);
        }
    }

    #[test]
    fn a_time_is_told_as_it_was_set() {
        for (ms, told) in [
            (0, "0 s"),
            (1, "1 ms"),
            (150, "150 ms"),
            (1000, "1 s"),
            (1600, "1.6 s"),
            (2050, "2.05 s"),
            (30_000, "30 s"),
            (30_001, "30.001 s"),
            (60_000, "60 s"),
            (90_000, "90 s"),
            (120_000, "2 min"),
            (600_000, "10 min"),
            (610_000, "610 s"),
        ] {
            assert_eq!(set(Duration::from_millis(ms)), told);
        }
    }
}
