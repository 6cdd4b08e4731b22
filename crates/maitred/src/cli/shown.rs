//! How values are shown to people: durations, sizes, and text that comes from elsewhere.

use home::control::InstanceView;

/// The word for what an instance does, and for how long its event loop has stood still if it does.
pub(super) fn status(instance: &InstanceView) -> String {
    match (instance.blocked, &instance.unhealthy) {
        (Some(ms), _) => format!("blocked {}", span(ms)),
        (None, Some(_)) => "unhealthy".to_owned(),
        (None, None) => instance.state.word().to_owned(),
    }
}

/// A time in its largest unit, in words of a sentence: `12 s`, `3 min`, `5 h`.
fn span(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..100 => format!("{seconds} s"),
        seconds @ 100..6000 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// A duration in its largest unit, as pm2 shows it: `42s`, `3m`, `5h`, `2D`.
pub(super) fn duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (86_400_000, "D"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
    ];
    let unit = UNITS.iter().find(|(unit, _)| ms >= *unit);
    unit.map_or_else(
        || "0".to_owned(),
        |(unit, name)| format!("{}{name}", ms / unit),
    )
}

/// Bytes, as pm2 shows them: `32.1mb`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kb", "mb", "gb", "tb"];
    if bytes < 1024 {
        return format!("{bytes}b");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    for larger in units {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    format!("{size:.1}{unit}")
}

/// Text that cannot do anything to the terminal.
pub(super) fn plain(text: &str) -> String {
    let shown = |c: char| match c {
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (ms, text) in [
            (999, "0"),
            (59_999, "59s"),
            (60_000, "1m"),
            (90_000_000, "1D"),
        ] {
            assert_eq!(duration(ms), text);
        }
        for (size, text) in [
            (0, "0b"),
            (1023, "1023b"),
            (1536, "1.5kb"),
            (5 << 30, "5.0gb"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn spans() {
        for (ms, text) in [
            (1999, "1 s"),
            (99_999, "99 s"),
            (100_000, "1 min"),
            (5_999_999, "99 min"),
            (6_000_000, "1 h"),
            (u64::MAX, "5124095576030 h"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn control_characters_do_nothing() {
        assert_eq!(plain("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
