//! The table of what was counted.

use std::fmt::Write;

use telemetry::figures::{ListenerFigures, LoopSeenBy, WorkerFigures};

/// The table for an app's listeners: some 75 columns wide, no line end behind the last line.
pub(super) fn table(name: &str, listeners: &[ListenerFigures]) -> String {
    let mut text = String::new();
    if listeners.is_empty() {
        let _ = write!(text, "{name} listens nowhere: nothing was counted");
    }
    for listener in listeners {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{}: {} accepted, {} waiting{}, {} refused",
            super::sentences::as_url(&listener.address),
            listener.accepted,
            listener.waiting,
            match listener.waiting {
                0 => String::new(),
                _ => format!(" (for {})", time(listener.waiting_for)),
            },
            listener.refused,
        );
        let waited = &listener.waited;
        if waited.count > 0 {
            let _ = write!(
                text,
                "\n  {} had to wait: mean {}, 99 % within {}, longest {}",
                waited.count,
                time(waited.mean),
                time(waited.p99),
                time(waited.longest),
            );
        }
        if let Some(requests) = &listener.requests {
            let _ = write!(
                text,
                "\n  {} requests, {} answered, {} in progress, {} waiting, {} sent again",
                requests.total,
                requests.answered,
                requests.in_progress,
                requests.waiting,
                requests.retried,
            );
            if requests.upgraded + requests.aborted > 0 {
                let _ = write!(
                    text,
                    "\n  {} upgraded, {} left by their clients",
                    requests.upgraded, requests.aborted,
                );
            }
            let failed = requests.failed.iter();
            let failed: Vec<_> = failed.map(|(status, n)| format!("{status}: {n}")).collect();
            if !failed.is_empty() {
                let _ = write!(text, "\n  failed: {}", failed.join(", "));
            }
        }
        let by_request = listener.requests.is_some();
        let titles = if by_request {
            ["worker", "pid", "requests", "open", "untaken", "failed"]
        } else {
            [
                "worker",
                "pid",
                "dispatched",
                "open",
                "untaken",
                "taken back",
            ]
        };
        let [worker, pid, given, open, untaken, last] = titles;
        let _ = write!(
            text,
            "\n  {worker:<16} {pid:>8} {given:>10} {open:>6} {untaken:>8} {last:>11}  loop seen by",
        );
        for worker in &listener.workers {
            let (given, open, last) = match worker.requests {
                Some(requests) => (requests.total, requests.in_progress, requests.failed),
                None => (worker.dispatched, worker.open as u64, worker.taken_back),
            };
            let _ = write!(
                text,
                "\n  {:<16} {:>8} {given:>10} {open:>6} {:>8} {last:>11}  {}",
                worker_name(name, worker),
                worker.pid.map_or("-".into(), |pid| pid.to_string()),
                worker.untaken,
                match worker.seen_by {
                    LoopSeenBy::Kernel => "kernel",
                    LoopSeenBy::Taken => "what it takes",
                    LoopSeenBy::Nobody => "-",
                },
            );
        }
    }
    text
}

fn worker_name(name: &str, worker: &WorkerFigures) -> String {
    match worker.ordinal {
        0 => format!("{name}-{}", worker.instance),
        ordinal => format!("{name}-{}.{ordinal}", worker.instance),
    }
}

/// Nanoseconds as people read them.
fn time(nanos: u64) -> String {
    let micros = nanos / 1000;
    match micros {
        0..1000 => format!("{micros} us"),
        1000..100_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        100_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::figures::{RequestFigures, WaitFigures, WorkerRequests};
    use telemetry::ids::Instance;

    #[test]
    fn the_table_shows_everything_and_fits_a_terminal() {
        let worker = |instance, ordinal, pid| WorkerFigures {
            instance: Instance(instance),
            ordinal,
            pid,
            dispatched: 1_234_567,
            open: 12,
            untaken: 1,
            taken_back: 3,
            requests: None,
            seen_by: LoopSeenBy::Kernel,
        };
        let listener = ListenerFigures {
            address: "0.0.0.0:5555".into(),
            accepted: 4_000_000,
            waiting: 2,
            waiting_for: 3_200_000,
            parked: 0,
            waited: WaitFigures {
                count: 10,
                mean: 250_000,
                total: 0,
                p99: 2_048_000,
                longest: 1_500_000_000,
                steps: Vec::new(),
            },
            refused: 7,
            requests: None,
            workers: vec![worker(0, 0, Some(4_194_303)), worker(1, 2, None)],
        };
        let text = table("server", std::slice::from_ref(&listener));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "http://localhost:5555: 4000000 accepted, 2 waiting (for 3.2 ms), 7 refused"
        );
        assert_eq!(
            lines[1],
            "  10 had to wait: mean 250 us, 99 % within 2.0 ms, longest 1.5 s"
        );
        assert!(lines[3].starts_with("  server-0          4194303    1234567     12 "));
        assert!(lines[4].starts_with("  server-1.2              - "));
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        let mut by_request = listener;
        by_request.requests = Some(RequestFigures {
            total: 1_000_000,
            answered: 999_000,
            upgraded: 10,
            aborted: 20,
            retried: 1,
            waiting: 3,
            in_progress: 40,
            failed: [(400, 900), (502, 27)].into(),
            ..RequestFigures::default()
        });
        for worker in &mut by_request.workers {
            worker.requests = Some(WorkerRequests {
                total: 500_000,
                in_progress: 20,
                failed: 27,
            });
        }
        let text = table("server", &[by_request]);
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines[..3],
            [
                "  1000000 requests, 999000 answered, 40 in progress, 3 waiting, 1 sent again",
                "  10 upgraded, 20 left by their clients",
                "  failed: 400: 900, 502: 27",
            ]
        );
        assert!(lines[3].starts_with("  worker                pid   requests   open  untaken "));
        assert!(lines[4].starts_with("  server-0          4194303     500000     20 "));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
