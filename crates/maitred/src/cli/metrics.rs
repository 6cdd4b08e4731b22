//! `maitred metrics`: what is measured of apps, as Prometheus reads it.

use anyhow::bail;
use clap::Args;

use super::together;
use crate::apps;
use home::Home;

/// Print the metrics of apps in OpenMetrics format.
///
/// To let Prometheus fetch them, set `metrics` in the config file, or start the app with --metrics.
#[derive(Debug, Args)]
pub(super) struct Metrics {
    /// Apps: names, numbers, namespaces, /patterns/ or "all"
    #[arg(value_name = "APP", default_value = "all")]
    targets: Vec<String>,
}

impl Metrics {
    pub(super) fn execute(self) -> anyhow::Result<u8> {
        let known = apps::all(&Home::find()?)?;
        let all = self.targets.iter().any(|target| target == "all");
        let selected = if all {
            known
        } else {
            let selected = apps::select(&known, &self.targets)?;
            selected.into_iter().map(|it| it.known).collect()
        };
        let mut measured = Vec::new();
        let mut faults = Vec::new();
        for (known, answer) in selected.iter().zip(apps::metrics(&selected)) {
            match answer {
                // An app without a supervisor does nothing that could be measured.
                Ok(metrics) => measured.extend(metrics),
                Err(fault) => faults.push(format!("{}: {fault}", known.record.app.name)),
            }
        }
        together::print(telemetry::metrics::open_metrics(measured))?;
        if !faults.is_empty() {
            bail!("no metrics of {}", faults.join("; "));
        }
        Ok(0)
    }
}
