//! The goals that stand beside the results: met or not, as it came out.

use serde_json::{Value, json};

pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) wanted: String,
    /// None where a contender that it takes was left out, or its run spoiled.
    pub(crate) measured: Option<f64>,
    pub(crate) met: bool,
}

impl Goal {
    pub(crate) fn at_least(what: impl Into<String>, bound: f64, measured: Option<f64>) -> Self {
        let met = measured.is_some_and(|value| value >= bound);
        Self {
            what: what.into(),
            wanted: format!("≥ {bound}"),
            measured,
            met,
        }
    }

    pub(crate) fn at_most(what: impl Into<String>, bound: f64, measured: Option<f64>) -> Self {
        let met = measured.is_some_and(|value| value <= bound);
        Self {
            what: what.into(),
            wanted: format!("≤ {bound}"),
            measured,
            met,
        }
    }

    pub(crate) fn below(what: impl Into<String>, bound: f64, measured: Option<f64>) -> Self {
        let met = measured.is_some_and(|value| value < bound);
        Self {
            what: what.into(),
            wanted: format!("< {bound}"),
            measured,
            met,
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.measured.is_some(), self.met) {
            (false, _) => "not measured",
            (true, true) => "met",
            (true, false) => "NOT MET",
        }
    }
}

pub(crate) fn print(goals: &[Goal]) {
    println!("\nGoals");
    let mut table = crate::table::Table::new(["", "wanted", "measured", ""]);
    for goal in goals {
        let measured = crate::table::figure(goal.measured, 3);
        table.row([
            goal.what.clone(),
            goal.wanted.clone(),
            measured,
            goal.verdict().to_owned(),
        ]);
    }
    table.print();
}

pub(crate) fn to_json(goals: &[Goal]) -> Value {
    goals
        .iter()
        .map(|goal| json!({ "goal": goal.what, "wanted": goal.wanted, "measured": goal.measured, "verdict": goal.verdict() }))
        .collect()
}
