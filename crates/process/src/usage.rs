//! What a process uses, from `/proc` and its CPU clock: read when somebody asks, never by a timer.

use std::fs;
use std::time::Duration;

use rustix::process::Pid;

/// Bytes of memory that are resident: the second number of `statm`, in pages.
pub fn memory(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    Some(pages * page)
}

/// Processor time of all its threads so far: one call, however many there are.
pub fn cpu_time(pid: i32) -> Option<Duration> {
    sys::cpu_time(Pid::from_raw(pid)?).ok()
}

/// How many descriptors it has open.
pub fn descriptors(pid: i32) -> Option<u64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    u64::try_from(open.count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(memory(own).is_some_and(|bytes| bytes > 100_000));
        assert!(cpu_time(own).is_some_and(|time| !time.is_zero()));
        let before = descriptors(own).unwrap();
        let _held: Vec<_> = (0..50).map(|_| fs::File::open("/").unwrap()).collect();
        // Tests beside this one open and close some.
        assert!(descriptors(own).unwrap() >= before.saturating_sub(20) + 30);
    }

    #[test]
    fn one_that_is_not_there_uses_nothing() {
        assert_eq!(memory(i32::MAX), None);
        assert_eq!(cpu_time(i32::MAX), None);
        assert_eq!(descriptors(i32::MAX), None);
    }
}
