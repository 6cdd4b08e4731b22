//! The environment of an app: what is inherited, and what the user wrote over it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde::{Deserialize, Serialize};

/// A whole environment.
pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// Which variables of whoever starts the app are kept from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FilterEnv {
    /// All of them.
    All,
    /// Those whose names contain one of these; none for an empty list.
    Containing(Vec<String>),
}

/// What maitred gives to workers, and a maitred that is run by one must not pass on.
const OURS: [&str; 3] = [wire::INSTANCE_VAR, wire::SUPERVISOR_VAR, wire::DOOR_VAR];

/// The environment of an app that is started by somebody with the environment `inherited`.
pub(crate) fn compose(
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
        !filtered && !OURS.contains(&name.as_ref())
    };
    let inherited = inherited.into_iter().filter(|(name, _)| kept(name));
    let own = own
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    inherited.chain(own).collect()
}
