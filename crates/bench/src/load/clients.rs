//! Several closed loops side by side, each with its share of the clients: one
//! loop alone is busy all the time before the contenders are, and would hide
//! what they cost.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::closed::{ClosedLoop, Settings, Tally};

pub(crate) struct Clients(Vec<ClosedLoop>);

impl Clients {
    /// `settings.connections` are all of them together.
    pub(crate) fn new(settings: &Settings, threads: usize) -> Result<Self> {
        let threads = threads.clamp(1, settings.connections.max(1));
        let loops = (0..threads).map(|n| {
            let share = (settings.connections + n) / threads;
            ClosedLoop::new(Settings {
                connections: share,
                ..*settings
            })
        });
        Ok(Self(loops.collect::<Result<_>>()?))
    }

    /// Keeps all clients busy for so long. May be called again, to go on.
    pub(crate) fn run(&mut self, duration: Duration) -> Result<Tally> {
        self.each(|one| one.run(duration))
    }

    /// How long each request of the last run took, in microseconds.
    pub(crate) fn latencies(&self) -> Vec<f64> {
        let all = self.0.iter().map(ClosedLoop::latencies);
        all.collect::<Vec<_>>().concat()
    }

    /// Waits for what is still under way.
    pub(crate) fn drain(mut self) -> Result<Tally> {
        self.each(ClosedLoop::drain)
    }

    fn each(&mut self, act: impl Fn(&mut ClosedLoop) -> Result<Tally> + Sync) -> Result<Tally> {
        let act = &act;
        let tallies: Vec<Result<Tally>> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .0
                .iter_mut()
                .map(|one| scope.spawn(move || act(one)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(anyhow!("a load generator failed")))
                })
                .collect()
        });
        tallies
            .into_iter()
            .try_fold(Tally::default(), |sum, tally| {
                let tally = tally?;
                Ok(Tally {
                    requests: sum.requests + tally.requests,
                    errors: sum.errors + tally.errors,
                    elapsed: sum.elapsed.max(tally.elapsed),
                })
            })
    }
}
