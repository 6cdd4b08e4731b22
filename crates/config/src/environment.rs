//! The environment of an app: what is inherited, and what the user wrote over it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::{Deserialize, Serialize};

/// A whole environment.
pub type Environment = BTreeMap<OsString, OsString>;

/// Which variables of whoever starts the app are kept from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterEnv {
    /// All of them.
    All,
    /// Those whose names contain one of these; none for an empty list.
    Containing(Vec<String>),
}

/// What maitred gives to workers, and a maitred that is run by one must not pass on.
const OURS: [&str; 4] = [
    wire::INSTANCE_VAR,
    wire::SUPERVISOR_VAR,
    wire::DOOR_VAR,
    RUN_VAR,
];

/// What systemd tells the process that it starts, which is maitred, and no worker of it.
const OF_SERVICE_MANAGER: [&str; 7] = [
    "FDSTORE",
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Tells to which process of which instance a process belongs, also when it has left that one's
/// group and session.
pub const RUN_VAR: &str = "MAITRED_RUN";

/// The environment of an app that is started by somebody with the environment `inherited`.
pub fn compose(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    filter: &FilterEnv,
    own: &Environment,
) -> Environment {
    let kept = |name: &OsString| {
        let name = name.to_string_lossy();
        let filtered = match filter {
            FilterEnv::All => true,
            FilterEnv::Containing(parts) => parts.iter().any(|part| name.contains(part.as_str())),
        };
        let is_ours = [&OURS[..], &OF_SERVICE_MANAGER]
            .concat()
            .contains(&name.as_ref());
        !filtered && !is_ours
    };
    let inherited = inherited.into_iter().filter(|(name, _)| kept(name));
    let own = own
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    inherited.chain(own).collect()
}

/// The environment `now` of an app, whose own part was `before`, with `own` in its place: what was
/// inherited stays. What the old own part hid of it comes from `inherited`.
pub fn with_own(
    now: &Environment,
    before: &Environment,
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    filter: &FilterEnv,
    own: &Environment,
) -> Environment {
    let stays = now.iter().filter(|(name, _)| !before.contains_key(*name));
    let stays = stays.map(|(name, value)| (name.clone(), value.clone()));
    let hidden = inherited
        .into_iter()
        .filter(|(name, _)| before.contains_key(name));
    compose(hidden.chain(stays), filter, own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inherited_stays_when_the_apps_own_changes() {
        let pairs = |pairs: &[(&str, &str)]| -> Environment {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        let before = pairs(&[("A", "old"), ("PATH", "/own")]);
        let now = pairs(&[("A", "old"), ("PATH", "/own"), ("HOME", "/root")]);
        let caller = pairs(&[("PATH", "/bin"), ("HOME", "/elsewhere"), ("NEW", "1")]);
        let none = FilterEnv::Containing(Vec::new());
        assert_eq!(
            with_own(&now, &before, caller, &none, &pairs(&[("B", "new")])),
            pairs(&[("PATH", "/bin"), ("HOME", "/root"), ("B", "new")])
        );
    }

    #[test]
    fn the_apps_own_goes_over_what_is_inherited() {
        let pairs = |pairs: &[(&str, &str)]| -> Environment {
            let pairs = pairs.iter();
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect()
        };
        let inherited = pairs(&[
            ("PATH", "/bin"),
            ("AWS_KEY", "1"),
            ("MY_AWS", "2"),
            ("A", "theirs"),
            (wire::DOOR_VAR, "another's"),
        ]);
        let own = pairs(&[("A", "ours"), ("AWS_REGION", "3")]);
        let containing = |parts: &[&str]| {
            let parts = parts.iter().map(|part| (*part).to_owned());
            FilterEnv::Containing(parts.collect())
        };
        for (filter, expected) in [
            (
                containing(&[]),
                pairs(&[
                    ("PATH", "/bin"),
                    ("AWS_KEY", "1"),
                    ("MY_AWS", "2"),
                    ("A", "ours"),
                    ("AWS_REGION", "3"),
                ]),
            ),
            (
                containing(&["AWS"]),
                pairs(&[("PATH", "/bin"), ("A", "ours"), ("AWS_REGION", "3")]),
            ),
            (FilterEnv::All, own.clone()),
        ] {
            assert_eq!(
                compose(inherited.clone(), &filter, &own),
                expected,
                "{filter:?}"
            );
        }
    }
}
