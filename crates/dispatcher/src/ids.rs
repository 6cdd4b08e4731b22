//! Names of listeners and workers.

/// Names a listener; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ListenerId(pub(crate) u64);

/// Which worker of the app one is. A worker that takes another's place has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) instance: u32,
    /// Tells it from other workers of the same instance at the same listener: the lowest number
    /// that was free.
    pub(crate) ordinal: u32,
}

impl Place {
    /// What clients stick to.
    pub(super) fn key(self) -> u64 {
        u64::from(self.instance) << 32 | u64::from(self.ordinal)
    }
}
