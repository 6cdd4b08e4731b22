//! Doing something with many apps, as far side by side as their dependencies allow.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::AT_ONCE;
use crate::dependencies::Schedule;

/// What has come of it.
#[derive(Debug)]
pub(crate) struct Worked<R> {
    /// The result of each app; `None` for those that were held up.
    pub(crate) results: Vec<Option<R>>,
    /// Those that have failed, or have not completed as others wait for it.
    pub(crate) culprits: Vec<Culprit>,
}

/// An app that holds others up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Culprit {
    pub(crate) number: usize,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// Whom it holds up.
    pub(crate) held: Vec<usize>,
}

/// What an app does when it has its turn.
pub(crate) struct Work<'a, R> {
    /// Its beginning: the result, and why nobody should count on it, if so.
    pub(crate) begin: &'a (dyn Fn(usize) -> (R, Option<String>) + Sync),
    /// Waits until it has completed; or says what has happened instead.
    pub(crate) complete: &'a (dyn Fn(usize) -> Result<(), String> + Sync),
}

struct Progress<R> {
    schedule: Schedule,
    results: Vec<Option<R>>,
    faults: Vec<(usize, String)>,
}

/// Does the work, many apps at a time.
pub(crate) fn in_order<R: Send>(schedule: Schedule, count: usize, work: &Work<'_, R>) -> Worked<R> {
    let progress = Mutex::new(Progress {
        schedule,
        results: (0..count).map(|_| None).collect(),
        faults: Vec::new(),
    });
    let moved = Condvar::new();
    std::thread::scope(|scope| {
        for _ in 1..count.min(AT_ONCE) {
            scope.spawn(|| take_turns(&progress, &moved, work));
        }
        take_turns(&progress, &moved, work);
    });
    let progress = progress.into_inner();
    let Progress {
        schedule,
        results,
        mut faults,
    } = progress.unwrap_or_else(PoisonError::into_inner);
    faults.sort_by_key(|(number, _)| *number);
    let culprit = |(number, reason)| Culprit {
        number,
        reason,
        held: schedule.held_up_by(number),
    };
    Worked {
        results,
        culprits: faults.into_iter().map(culprit).collect(),
    }
}

/// Takes the next app whose turn it is, until no turn is left.
fn take_turns<R>(progress: &Mutex<Progress<R>>, moved: &Condvar, work: &Work<'_, R>) {
    let mut now = lock(progress);
    while !now.schedule.is_over() {
        let Some(number) = now.schedule.next() else {
            // Somebody works still, and what comes of it moves the schedule on.
            now = moved.wait(now).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(now);
        let (result, fault) = (work.begin)(number);
        now = lock(progress);
        if let Some(slot) = now.results.get_mut(number) {
            *slot = Some(result);
        }
        let mut fault = fault;
        if fault.is_none() {
            now.schedule.started(number);
            if now.schedule.awaits_completion(number) {
                moved.notify_all();
                drop(now);
                fault = (work.complete)(number).err();
                now = lock(progress);
            }
        }
        match fault {
            None => now.schedule.completed(number),
            Some(reason) => {
                now.schedule.failed(number);
                now.faults.push((number, reason));
            }
        }
        moved.notify_all();
    }
    moved.notify_all();
}

fn lock<R>(progress: &Mutex<Progress<R>>) -> MutexGuard<'_, Progress<R>> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::dependencies::{Direction, numbered};

    /// Thirty apps in five layers. Each app waits for the others of its layer, so that they come to an
    /// end only if all of them are begun at once; none is begun before the layer below is done.
    #[test]
    fn a_layer_is_begun_at_once_and_after_the_one_below() {
        const LAYERS: usize = 5;
        const WIDTH: usize = 6;
        // Each needs all of the layer below, until they have completed.
        let below = |number: usize| -> Vec<isize> {
            let below = (number / WIDTH).checked_sub(1);
            let below = below.map_or(0..0, |layer| layer * WIDTH..(layer + 1) * WIDTH);
            below.map(|it| -1 - it.cast_signed()).collect()
        };
        let needs: Vec<_> = (0..LAYERS * WIDTH).map(below).collect();
        let needs: Vec<_> = needs.iter().map(Vec::as_slice).collect();
        let graph = numbered(&needs);
        let barriers: Vec<_> = (0..LAYERS).map(|_| Barrier::new(WIDTH)).collect();
        let completed = AtomicUsize::new(0);
        let work = Work {
            begin: &|number| {
                barriers[number / WIDTH].wait();
                (completed.load(Ordering::SeqCst), None)
            },
            complete: &|_| {
                completed.fetch_add(1, Ordering::SeqCst);
                Ok(())
            },
        };
        let schedule = Schedule::new(&graph, Direction::Forward);
        let worked = in_order(schedule, graph.len(), &work);
        assert_eq!(worked.culprits, []);
        for (number, seen) in worked.results.into_iter().enumerate() {
            assert!(
                seen.unwrap() >= number / WIDTH * WIDTH,
                "{number}: {seen:?}"
            );
        }
    }
}
