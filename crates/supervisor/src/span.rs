//! Times that a config sets, in words.

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

#[cfg(test)]
mod tests {
    use super::*;

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
