//! Fields that would do nothing beside the others: they are refused, for who writes one counts on
//! it.

use anyhow::bail;

use super::ExecMode;
use super::field::Concern;
use super::fields::{Entry, FIELDS};
use super::requests::Per;

/// # Errors
/// If a field is written that would do nothing; says what it needs.
pub(super) fn check(entry: &Entry, exec_mode: ExecMode) -> anyhow::Result<()> {
    let by_request = entry.per == Some(Per::Request);
    let own_sockets = exec_mode == ExecMode::Fork;
    if by_request && own_sockets {
        bail!("per: request needs the app's own sockets, so it needs exec_mode: cluster");
    }
    for field in FIELDS.iter().filter(|field| (field.is_set)(entry)) {
        let name = field.name;
        match field.of {
            Concern::Requests if !by_request => {
                bail!("{name}: it concerns requests, so it needs per: request")
            }
            Concern::Connections if by_request => bail!(
                "{name} limits connections that instances are given whole; with per: request \
                 max_concurrency limits the requests that one has in progress"
            ),
            Concern::Connections | Concern::SharedSockets if own_sockets => bail!(
                "{name} does nothing where each instance opens its own sockets (exec_mode: \
                 fork): write instances, or exec_mode: cluster"
            ),
            Concern::Everything
            | Concern::SharedSockets
            | Concern::Connections
            | Concern::Requests => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every field that does nothing in a mode is refused there, and no other.
    #[test]
    fn modes_and_fields() {
        let values = [
            json!(1),
            json!("a"),
            json!(true),
            json!("cluster"),
            json!("connection"),
            json!("round_robin"),
            json!("none"),
            json!("combined"),
            json!("raw"),
            json!("5s"),
            json!({}),
            json!("0 3 * * *"),
            json!("SIGTERM"),
        ];
        for field in FIELDS.iter().filter(|field| field.name != "per") {
            let entry = |per| {
                let mut entry = Entry {
                    per,
                    ..Entry::default()
                };
                let set = |value: &_| field.set(&mut entry, value).is_ok();
                assert!(values.iter().any(set), "{} takes no value", field.name);
                entry
            };
            let refused = [
                (None, ExecMode::Fork),
                (None, ExecMode::Cluster),
                (Some(Per::Request), ExecMode::Cluster),
            ]
            .map(|(per, mode)| check(&entry(per), mode).is_err());
            let of_requests = field.help.contains("With `per: request`:");
            let expected = match field.name {
                _ if of_requests => [true, true, false],
                "access_log_format" => [true, true, false],
                "max_connections" => [true, false, true],
                "balance" | "queue" | "queue_timeout" | "private_ports" => [true, false, false],
                _ => [false; 3],
            };
            assert_eq!(refused, expected, "{}", field.name);
        }
    }
}
