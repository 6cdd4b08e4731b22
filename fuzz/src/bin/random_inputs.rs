//! `random_inputs NUMBER [SEED]`: tries so many random inputs on each property, on all cores, from
//! printed seeds. It needs neither libFuzzer nor a nightly toolchain, and nothing guides it.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// So many are taken from the common count at once.
const LOT: u64 = 10_000;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Some(Ok(number)), Ok(seed)) = (arguments.next(), arguments.next().unwrap_or(Ok(1))) else {
        eprintln!("usage: random_inputs NUMBER [SEED]");
        return ExitCode::from(2);
    };
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let failures = AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| try_lots(number, seed, &next, &failures));
        }
    });
    println!(
        "{number} inputs from seed {seed} on each of {} properties, {} failures, {:.0} s",
        fuzz::names().count(),
        failures.load(Ordering::Relaxed),
        started.elapsed().as_secs_f64()
    );
    if failures.into_inner() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn try_lots(number: u64, seed: u64, next: &AtomicU64, failures: &AtomicU64) {
    loop {
        let from = next.fetch_add(LOT, Ordering::Relaxed);
        if from >= number {
            return;
        }
        for n in from..number.min(from + LOT) {
            let seed = seed.wrapping_add(n);
            for name in fuzz::names() {
                let bytes = fuzz::input(name, seed);
                if std::panic::catch_unwind(|| fuzz::hold(name, &bytes)).is_err() {
                    eprintln!("{name}, seed {seed}: {}", bytes.escape_ascii());
                    failures.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}
