//! The tables, the goals and the JSON of `metrics`.

use serde_json::{Map, Value, json};

use super::measure::Round;
use super::{Arguments, Level, Series};
use crate::goal::Goal;
use crate::stats::{median, range};
use crate::table::{Table, figure};

/// So little metrics may cost, of maitred's CPU time at full load.
const GOAL: f64 = 0.01;

pub(super) fn print(arguments: &Arguments, series: &[Series]) {
    println!(
        "\nThe endpoint: CPU time of maitred's own processes for a connection or a request, without it and with a\n\
         scrape each {} s (medians of the rounds; the ratio's range)",
        arguments.every
    );
    let mut table = Table::new([
        "",
        "a second",
        "cores",
        "CPU µs",
        "with",
        "ratio",
        "range",
        "a scrape, µs",
        "÷ CPU time, %",
        "errors",
    ]);
    for one in series {
        let ratios = one.ratios();
        let (low, high) = range(&ratios);
        table.row([
            one.level.title().to_owned(),
            figure(Some(one.median(0, |round| round.rate)), 0),
            figure(Some(one.median(0, |round| round.cores)), 2),
            figure(Some(one.median(0, |round| round.cpu_each)), 2),
            figure(Some(one.median(1, |round| round.cpu_each)), 2),
            figure(Some(median(&ratios)), 3),
            format!("{}–{}", figure(Some(low), 3), figure(Some(high), 3)),
            figure(Some(one.scrape), 0),
            figure(Some(one.scrape_share(arguments.every) * 100.0), 3),
            one.errors().to_string(),
        ]);
    }
    table.print();
    println!(
        "A scrape's CPU time is measured without load. Divided by the time between two and by the cores that maitred\n\
         uses at this load, it is the endpoint's share of its CPU time: the ratio of two processes wanders by more."
    );
    println!(
        "\nCounting, for one connection or request: the functions that maitred counts with, called in this process"
    );
    let mut table = Table::new([
        "",
        "instructions",
        "ns",
        "ns outside of the first cache",
        "÷ CPU time, %",
    ]);
    for one in series {
        table.row([
            one.level.title().to_owned(),
            figure(Some(one.counting.instructions), 0),
            figure(Some(one.counting.warm), 1),
            figure(Some(one.counting.cold), 1),
            figure(Some(one.counting_share() * 100.0), 3),
        ]);
    }
    table.print();
    println!(
        "Instructions are counted one by one; times are CPU time. The share is that of counters outside of the\n\
         first cache, by the CPU time for a connection or request without the endpoint."
    );
}

impl Series {
    fn median(&self, which: usize, of: impl Fn(&Round) -> f64) -> f64 {
        let all: Vec<f64> = self.rounds.iter().map(|both| of(&both[which])).collect();
        median(&all)
    }

    /// With the endpoint to without, round by round.
    fn ratios(&self) -> Vec<f64> {
        let ratio = |[without, with]: &[Round; 2]| with.cpu_each / without.cpu_each;
        self.rounds.iter().map(ratio).collect()
    }

    /// The CPU time of one scrape, by what maitred uses at full load in the seconds between two scrapes.
    fn scrape_share(&self, every: f64) -> f64 {
        self.scrape / 1e6 / (self.median(0, |round| round.cores) * every)
    }

    fn counting_share(&self) -> f64 {
        self.counting.cold / 1e3 / self.median(0, |round| round.cpu_each)
    }

    fn errors(&self) -> u64 {
        self.rounds.iter().flatten().map(|round| round.errors).sum()
    }
}

pub(super) fn goals(arguments: &Arguments, series: &[Series]) -> Vec<Goal> {
    let of = |level: Level| series.iter().find(|one| one.level == level);
    let mut goals = Vec::new();
    for level in super::LEVELS {
        let title = level.title();
        goals.push(Goal::below(
            format!(
                "CPU time with a scrape each {} s ÷ without the endpoint, {title}",
                arguments.every
            ),
            1.0 + GOAL,
            of(level).map(|one| median(&one.ratios())),
        ));
        goals.push(Goal::below(
            format!("counting and scrapes ÷ CPU time, {title}"),
            GOAL,
            of(level).map(|one| one.counting_share() + one.scrape_share(arguments.every)),
        ));
    }
    goals
}

pub(super) fn to_json(arguments: &Arguments, series: &[Series]) -> Value {
    let cases: Map<String, Value> = series
        .iter()
        .map(|one| {
            let rounds = one.rounds.iter().map(|both| both.map(round_json));
            let value = json!({
                "cpu_ratio": median(&one.ratios()),
                "cpu_ratio_rounds": one.ratios(),
                "rounds_without_and_with": rounds.collect::<Vec<_>>(),
                "scrape": {
                    "cpu_microseconds": one.scrape,
                    "bytes": one.size,
                    "share_of_cpu_time": one.scrape_share(arguments.every),
                },
                "counting": {
                    "how": "the functions that maitred counts with, called in a loop by the benchmark; instructions stepped with ptrace",
                    "instructions": one.counting.instructions,
                    "nanoseconds_in_first_cache": one.counting.warm,
                    "nanoseconds_outside_of_first_cache": one.counting.cold,
                    "share_of_cpu_time": one.counting_share(),
                },
                "errors": one.errors(),
            });
            (one.level.name().to_owned(), value)
        })
        .collect();
    cases.into()
}

fn round_json(round: Round) -> Value {
    json!({
        "cpu_microseconds_each": round.cpu_each,
        "cpu_seconds_per_second": round.cores,
        "per_second": round.rate,
        "scrapes": round.scrapes,
        "errors": round.errors,
    })
}

#[cfg(test)]
mod tests {
    use super::super::counting::Counting;
    use super::*;

    #[test]
    fn shares_are_of_the_time_without_the_endpoint() {
        let round = |cpu_each, cores| Round {
            cpu_each,
            cores,
            rate: 1000.0,
            scrapes: 1,
            errors: 1,
        };
        let series = Series {
            level: Level::Request,
            rounds: vec![[round(10.0, 0.5), round(11.0, 0.8)]; 3],
            scrape: 2000.0,
            size: 1,
            counting: Counting {
                warm: 5.0,
                cold: 20.0,
                instructions: 80.0,
            },
        };
        // 2 ms of the 500 ms that are used in a second.
        assert!((series.scrape_share(1.0) - 0.004).abs() < 1e-12);
        assert!((series.scrape_share(4.0) - 0.001).abs() < 1e-12);
        assert!((series.counting_share() - 0.002).abs() < 1e-12);
        assert!((median(&series.ratios()) - 1.1).abs() < 1e-12);
        assert_eq!(series.errors(), 6);
    }
}
