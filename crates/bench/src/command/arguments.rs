//! What is asked on the command line by more than one benchmark.

use std::path::{Path, PathBuf};

/// Whom to measure, how often, and where to write the figures.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// Measurements of each case; the contenders take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rounds: u32,
    /// Workers behind each contender
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) workers: u16,
    /// Threads of the load generator [default: one for each core, at most 4]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Only these contenders, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub(super) only: Vec<String>,
    /// The maitred to measure instead of the one beside this program
    #[arg(long)]
    maitred: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
}

impl Common {
    pub(super) fn maitred(&self) -> Option<&Path> {
        self.maitred.as_deref()
    }

    pub(super) fn out(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    /// With fewer, on a small machine, the generator is busy before the contenders
    /// are, and those that cost more look as good as those that cost less.
    pub(super) fn threads(&self) -> usize {
        threads(self.threads)
    }
}

/// How many threads the load generator has: as asked for, or one for each core, at most 4.
pub(super) fn threads(given: Option<u16>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    given.map_or(cores.min(4), usize::from)
}

/// The contenders in this round, by their places: every second one backwards, so
/// that a machine that drifts drifts through all of them alike.
pub(super) fn order(round: u32, contenders: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contenders).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}
