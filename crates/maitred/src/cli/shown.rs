//! How values are shown to people: durations, sizes, and text that comes from elsewhere.

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

/// Whether a variable's value is not for everybody who looks at the screen, by its name.
pub(super) fn is_secret(name: &str) -> bool {
    const SIGNS: [&str; 14] = [
        "SECRET",
        "PASSW",
        "PASSPHRASE",
        "TOKEN",
        "CREDENTIAL",
        "PRIVATE",
        "APIKEY",
        "API_KEY",
        "ACCESS_KEY",
        "AUTH",
        "_KEY",
        "COOKIE",
        "DSN",
        "_URL",
    ];
    let upper = name.to_uppercase();
    SIGNS.iter().any(|sign| upper.contains(sign))
        || upper == "KEY"
        || upper.ends_with("_PASS")
        || upper.ends_with("PWD") && upper != "PWD" && upper != "OLDPWD"
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
    fn secrets_are_known_by_their_names() {
        for name in [
            "DB_PASSWORD",
            "apiKey_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "DATABASE_URL",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["PATH", "PWD", "NODE_ENV", "PORT", "KEYBOARD"] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn control_characters_do_nothing() {
        assert_eq!(plain("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
