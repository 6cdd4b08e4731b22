//! The memory of processes, as the kernel's `smaps_rollup` tells it
//! (Documentation/filesystems/proc.rst).

use std::fs;
use std::ops::{Add, Sub};

use anyhow::{Context, Result};
use nix::unistd::Pid;

/// In MB (a million bytes). Negative where it is a difference.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident, shared pages counted in full.
    pub(crate) rss: f64,
    /// Resident, each shared page divided by the number of those who share it.
    pub(crate) pss: f64,
}

impl Memory {
    /// Of these processes together.
    pub(crate) fn of(pids: &[Pid]) -> Result<Self> {
        let mut sum = Self::default();
        for pid in pids {
            let path = format!("/proc/{pid}/smaps_rollup");
            let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
            let field =
                |name| kilobytes(&text, name).with_context(|| format!("finding {name} in {path}"));
            sum = sum
                + Self {
                    rss: field("Rss:")?,
                    pss: field("Pss:")?,
                };
        }
        Ok(sum)
    }

    pub(crate) fn times(self, n: f64) -> Self {
        Self {
            rss: self.rss * n,
            pss: self.pss * n,
        }
    }
}

impl Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rss: self.rss + other.rss,
            pss: self.pss + other.pss,
        }
    }
}

impl Sub for Memory {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + other.times(-1.0)
    }
}

/// The kernel's kB are 1,024 bytes.
fn kilobytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whole_names_only() {
        let text = "Rss:     1000 kB\nPss_Anon:  1 kB\nPss:      500 kB\n";
        assert_eq!(kilobytes(text, "Rss:"), Some(1.024));
        assert_eq!(kilobytes(text, "Pss:"), Some(0.512));
        assert_eq!(kilobytes(text, "Swap:"), None);
    }
}
