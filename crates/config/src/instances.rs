//! How many instances: a number, or one for each processor that may be used.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Instances {
    /// So many.
    Exactly(u32),
    /// One for each processor, less so many.
    AllBut(u32),
}

impl FromStr for Instances {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "expected a number, \"max\" or 0 (one for each processor), or -K (all processors \
                 but K), not \"{}\"",
                text.escape_debug()
            )
        };
        match text {
            "max" | "0" => Ok(Self::AllBut(0)),
            _ => match text.strip_prefix('-') {
                Some(fewer) if fewer.starts_with(|c: char| c.is_ascii_digit()) => {
                    fewer.parse().map(Self::AllBut).map_err(|_| bad())
                }
                None if text.starts_with(|c: char| c.is_ascii_digit()) => {
                    let count = text.parse().map_err(|_| bad())?;
                    if count > Self::MOST {
                        return Err(format!("at most {} instances can be run", Self::MOST));
                    }
                    Ok(if count == 0 {
                        Self::AllBut(0)
                    } else {
                        Self::Exactly(count)
                    })
                }
                _ => Err(bad()),
            },
        }
    }
}

impl Instances {
    /// More is surely a slip of the finger.
    const MOST: u32 = 1024;

    /// How many that is on this machine; never less than one.
    pub(crate) fn count(self, processors: u32) -> u32 {
        match self {
            Self::Exactly(count) => count,
            Self::AllBut(fewer) => processors.saturating_sub(fewer),
        }
        .max(1)
    }
}

/// How many processors this process may use: its affinity and its cgroups' quota count.
pub fn processors() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, |count| count.get());
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words() {
        for (text, processors, count) in [
            ("3", 8, 3),
            ("max", 8, 8),
            ("0", 8, 8),
            ("00", 8, 8),
            ("-1", 8, 7),
            ("-9", 8, 1),
            ("-0", 8, 8),
        ] {
            let instances: Instances = text.parse().unwrap();
            assert_eq!(instances.count(processors), count, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_named() {
        for bad in [
            "abc",
            "",
            "-",
            "--1",
            "+3",
            "1.5",
            "99999999999",
            "-x",
            "2000",
        ] {
            assert!(bad.parse::<Instances>().is_err(), "{bad}");
        }
        assert!("abc".parse::<Instances>().unwrap_err().contains("\"abc\""));
    }
}
