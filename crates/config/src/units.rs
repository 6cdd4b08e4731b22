//! Sizes and times as people write them: `200M`, `1.5G`, `10s`, `500ms`, or a bare number.

use std::time::Duration;

/// The bytes that a size stands for. Units are powers of 1024, as pm2's are: `K`, `M`, `G`, also
/// `KB` and `KiB`, in either case; none for bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u32 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    whole(number * f64::from(1024_u32).powi(i32::try_from(factor).ok()?))
}

/// The time that a text stands for: `ms`, `s`, `m`, `h`, `d`; none for milliseconds.
pub(super) fn time(text: &str) -> Option<Duration> {
    time_or(text, 1.0)
}

/// The same, but a bare number counts seconds.
pub(super) fn time_in_seconds(text: &str) -> Option<Duration> {
    time_or(text, 1000.0)
}

fn time_or(text: &str, bare: f64) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis = match unit.to_ascii_lowercase().as_str() {
        "" => bare,
        "ms" => 1.0,
        "s" => 1000.0,
        "m" | "min" => 60.0 * 1000.0,
        "h" => 60.0 * 60.0 * 1000.0,
        "d" => 24.0 * 60.0 * 60.0 * 1000.0,
        _ => return None,
    };
    whole(number * millis)
        .filter(|millis| *millis <= LONGEST)
        .map(Duration::from_millis)
}

/// A hundred years, in milliseconds: beyond it, sums of moments could overflow.
const LONGEST: u64 = 100 * 366 * 24 * 60 * 60 * 1000;

/// The number that a text begins with, and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

/// The number without its fraction, if it is one that can be counted exactly.
pub(super) fn whole(number: f64) -> Option<u64> {
    // 2^53: beyond it, not each number is one of f64's.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (0.0..=EXACT)
        .contains(&number)
        .then_some(number.trunc() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("200M", Some(200 << 20)),
            ("200 m", Some(200 << 20)),
            ("1.5G", Some(3 << 29)),
            ("10K", Some(10 << 10)),
            ("10KB", Some(10 << 10)),
            ("10KiB", Some(10 << 10)),
            ("1024", Some(1024)),
            ("0", Some(0)),
            ("", None),
            ("M", None),
            ("-1M", None),
            ("1.2.3", None),
            ("10X", None),
            ("1e9", None),
            ("NaN", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn times() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, expected) in [
            ("3000", ms(3000)),
            ("10s", ms(10_000)),
            ("1.5s", ms(1500)),
            ("500ms", ms(500)),
            ("2m", ms(120_000)),
            ("1h", ms(3_600_000)),
            ("1d", ms(86_400_000)),
            ("10 S", ms(10_000)),
            ("soon", None),
            ("-1", None),
            ("9999999999999d", None),
        ] {
            assert_eq!(time(text), expected, "{text}");
        }
        assert_eq!(time_in_seconds("4"), ms(4000));
        assert_eq!(time_in_seconds("4000ms"), ms(4000));
    }
}
