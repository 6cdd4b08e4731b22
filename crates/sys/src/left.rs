//! Descriptors that another process has left open, by their numbers.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// What a process has left open in a table of descriptors that it shared. What nobody takes is closed with it.
#[derive(Debug, Default)]
pub struct LeftOpen(BTreeMap<RawFd, OwnedFd>);

impl LeftOpen {
    /// The descriptor of this number.
    pub fn take(&mut self, number: RawFd) -> Option<OwnedFd> {
        self.0.remove(&number)
    }

    /// Those of a kind.
    pub fn take_all_that(&mut self, is_meant: impl Fn(&OwnedFd) -> bool) -> Vec<OwnedFd> {
        let all = std::mem::take(&mut self.0);
        let (meant, others): (BTreeMap<_, _>, _) =
            all.into_iter().partition(|(_, left)| is_meant(left));
        self.0 = others;
        meant.into_values().collect()
    }

    /// All of them.
    pub fn into_all(self) -> Vec<OwnedFd> {
        self.0.into_values().collect()
    }
}

impl FromIterator<OwnedFd> for LeftOpen {
    fn from_iter<T: IntoIterator<Item = OwnedFd>>(all: T) -> Self {
        let all = all.into_iter();
        Self(all.map(|left| (left.as_raw_fd(), left)).collect())
    }
}
