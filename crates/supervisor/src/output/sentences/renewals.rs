//! What restarts instances, or starts a job, without anybody asking, and what came of it.

use telemetry::events::Trigger;

use super::{MB, health, seconds};
use telemetry::ids::Instance;

pub(super) fn renewing(name: &str, trigger: &Trigger) -> String {
    match trigger {
        Trigger::Schedule => format!("restarting {name} (cron_restart)"),
        Trigger::Change { path, others: 0 } => {
            format!("restarting {name}: {} has changed", path.escape_debug())
        }
        Trigger::Change { path, others } => format!(
            "restarting {name}: {} and {others} more have changed",
            path.escape_debug()
        ),
        Trigger::Memory {
            instance,
            used,
            limit,
        } => format!(
            "replacing {name}-{instance}: it uses {} MB, more than {} MB (max_memory_restart)",
            used / MB,
            limit / MB
        ),
        Trigger::Hang { instance, lasts } => {
            let time = seconds(*lasts);
            format!("replacing {name}-{instance}: it has been blocked for {time} (hang_timeout)")
        }
        Trigger::Health {
            instance,
            failures,
            reason,
        } => {
            let checks = match failures {
                1 => "a health check has failed".to_owned(),
                several => format!("{several} health checks in a row have failed"),
            };
            let reason = health::plain(reason);
            format!("replacing {name}-{instance}: {checks}: {reason} (health)")
        }
    }
}

/// A job whose time has come while its last run goes on.
pub(super) fn still_runs(name: &str, instance: Instance, waits: bool) -> String {
    let follows = match waits {
        true => "the next run follows when this one has ended (cron_overlap: wait)",
        false => "the calendar waits for its end (cron_overlap: skip)",
    };
    format!("{name}-{instance} still runs at the next time of its cron_restart: {follows}")
}

/// What came of a reload, a restart or a change of their number, whoever has asked for it.
pub(super) fn done(
    name: &str,
    command: &str,
    instances: usize,
    lasted: u64,
    faults: &[String],
) -> String {
    let time = seconds(lasted);
    if !faults.is_empty() {
        return format!(
            "{command} of {name} failed after {time}: {}",
            faults.join("; ")
        );
    }
    let instances = match instances {
        1 => "1 instance".to_owned(),
        several => format!("{several} instances"),
    };
    match command {
        "scale" => format!("scaled {name} to {instances} in {time}"),
        "restart" => format!("restarted {instances} of {name} in {time}"),
        _ => format!("reloaded {instances} of {name} in {time}"),
    }
}
