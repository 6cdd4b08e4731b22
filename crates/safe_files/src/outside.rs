//! Owners outside this user namespace. In a rootless container the kernel shows all that the
//! namespace does not map, root's `/tmp` above all, as one user (`user_namespaces(7)`).

use std::fs;
use std::sync::OnceLock;

/// The user by whom files count: an owner outside of this namespace counts as root, for it is the
/// machine's, and nobody inside can become that user.
pub(super) fn owner(uid: u32) -> u32 {
    static OUTSIDE: OnceLock<Option<u32>> = OnceLock::new();
    let outside = OUTSIDE.get_or_init(|| {
        let shown = fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
        let map = fs::read_to_string("/proc/self/uid_map").ok()?;
        shown_for_others(&shown, &map)
    });
    if *outside == Some(uid) { 0 } else { uid }
}

/// The number that stands for owners outside; `None` where somebody inside may have it.
fn shown_for_others(shown: &str, map: &str) -> Option<u32> {
    let shown = shown.trim().parse::<u32>().ok()?;
    for line in map.lines() {
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let first = numbers.next()?.ok()?;
        let count = numbers.nth(1)?.ok()?;
        if (first..first.saturating_add(count)).contains(&u64::from(shown)) {
            return None;
        }
    }
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_mapped_is_somebody_s() {
        for (map, expected) in [
            ("         0          0 4294967295\n", None),
            ("         0      65534          1\n", Some(65534)),
            ("0 1000 1\n1 100000 65536\n", None),
            ("0 1000 1\n1 100000 65533\n", Some(65534)),
            ("nonsense\n", None),
            ("0 1000\n", None),
        ] {
            assert_eq!(shown_for_others("65534\n", map), expected, "{map}");
        }
        assert_eq!(shown_for_others("", "0 0 1\n"), None);
    }
}
