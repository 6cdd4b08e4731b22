//! How busy a process is.

use std::time::Duration;
use std::{fs, thread};

/// How many seconds of half a second the process has computed.
pub(crate) fn computes(pid: i32) -> f64 {
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = rest.split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    // Not to wait for anything: this is the time that is measured.
    thread::sleep(Duration::from_millis(500));
    (ticks() - before) as f64 / rustix::param::clock_ticks_per_second() as f64
}
