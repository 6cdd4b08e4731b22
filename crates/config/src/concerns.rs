//! Fields that have no effect beside the others: who writes one counts on it.

use anyhow::bail;

use super::ExecMode;
use super::field::Needs;
use super::fields::{Entry, FIELDS};
use super::health::HealthCheck;
use super::kind::Schedule;
use super::names;
use super::requests::Per;

/// Warns of fields that lack a companion: pm2 takes them without a word, and its users' files have
/// them.
///
/// # Errors
/// If a field is written that has no effect in this mode; says what it needs.
pub(super) fn check(
    entry: &Entry,
    exec_mode: ExecMode,
    warnings: &mut Vec<String>,
) -> anyhow::Result<()> {
    let by_request = entry.per == Some(Per::Request);
    let own_sockets = exec_mode == ExecMode::Fork;
    if by_request && own_sockets {
        bail!("per: request needs shared sockets: write exec_mode: cluster");
    }
    let check = entry.health.as_ref().and_then(HealthCheck::resolved);
    if own_sockets && check.is_some_and(|check| check.goes_over_listeners()) {
        bail!(
            "health: http and tcp go over the shared sockets, and in fork mode each instance opens its \
             own: write exec_mode: cluster, or name a command"
        );
    }
    for field in FIELDS.iter().filter(|field| (field.is_set)(entry)) {
        let name = field.name;
        match field.needs {
            Needs::Job if !is_job(entry) => bail!(
                "{name} needs a job, whose runs the calendar alone starts: write cron_restart and \
                 autorestart: false"
            ),
            Needs::Requests if !by_request => bail!("{name} needs per: request"),
            Needs::Connections if by_request => {
                let instead = match name {
                    "keep_alive_timeout" => "idle_timeout says how long a client may be idle",
                    _ => "max_concurrency limits the requests that an instance has in progress",
                };
                bail!("{name} needs per: connection; with per: request, {instead}")
            }
            Needs::Connections | Needs::Cluster if own_sockets => {
                // Fork mode is the default without instances.
                let also = match entry.exec_mode {
                    Some(_) => "",
                    None => "instances, or ",
                };
                bail!(
                    "{name} needs shared sockets, and in fork mode each instance opens its own: write \
                     {also}exec_mode: cluster"
                )
            }
            Needs::Nothing | Needs::Cluster | Needs::Connections | Needs::Requests | Needs::Job => {
            }
        }
        let companion = field.with.and_then(names::field);
        if let Some(companion) = companion.filter(|it| !(it.is_set)(entry)) {
            warnings.push(format!("{name} has no effect without {}", companion.name));
        }
    }
    Ok(())
}

/// Whether its runs are those of a job.
fn is_job(entry: &Entry) -> bool {
    matches!(entry.cron_restart, Some(Schedule::At(_))) && entry.autorestart == Some(false)
}
