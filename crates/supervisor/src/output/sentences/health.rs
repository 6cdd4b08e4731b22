//! Sentences about health checks.

use telemetry::ids::Instance;

/// A process is unhealthy.
pub(super) fn failed(name: &str, instance: Instance, pid: i32, reason: &str) -> String {
    let reason = plain(reason);
    format!("{name}-{instance} (PID {pid}) is unhealthy: {reason}")
}

/// It is healthy again.
pub(super) fn passed(name: &str, instance: Instance, pid: i32) -> String {
    format!("{name}-{instance} (PID {pid}) is healthy again")
}

/// A reason may hold what a command has written.
pub(super) fn plain(reason: &str) -> String {
    reason
        .chars()
        .map(|it| if it.is_control() { '\u{fffd}' } else { it })
        .collect()
}
