//! What can be wrong with `depends_on`, in words.

use std::fmt;

/// What is wrong with a dependency; it is not in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// There is no app of this name.
    Unknown { app: String, dependency: String },
    /// Several are called so, and none is in the namespace of the app.
    Ambiguous { app: String, dependency: String },
    /// It is restarted whenever it ends.
    NeverCompletes { app: String, dependency: String },
    /// Its health is not checked.
    NeverHealthy { app: String, dependency: String },
    /// Each waits for the next one, and the last one is the first.
    Cycle(Vec<String>),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { app, dependency } => {
                write!(
                    f,
                    "{app}: depends_on names {dependency}, and there is no app of this name"
                )
            }
            Self::Ambiguous { app, dependency } => write!(
                f,
                "{app}: depends_on names {dependency}, and apps of several namespaces are called so"
            ),
            Self::NeverCompletes { app, dependency } => write!(
                f,
                "{app}: depends_on waits until {dependency} has completed, and {dependency} is restarted \
                 whenever it ends: write autorestart: false there"
            ),
            Self::NeverHealthy { app, dependency } => write!(
                f,
                "{app}: depends_on waits until {dependency} is healthy, which is not checked: write \
                 health there, or until: \"started\" here"
            ),
            Self::Cycle(names) => write!(
                f,
                "depends_on goes round in a circle: {}",
                names.join(" → ")
            ),
        }
    }
}
