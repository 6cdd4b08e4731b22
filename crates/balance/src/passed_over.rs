//! Members that get nothing while another one is well: the unwell ones.

/// Whether a member is passed over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassedOver {
    /// Its health check fails, or has not passed yet.
    unwell: bool,
    /// Another one is well, so this one gets nothing.
    now: bool,
}

impl PassedOver {
    pub(crate) fn now(self) -> bool {
        self.now
    }
}

/// Sets whether the member at a place is unwell, and which members are passed over. Where all are unwell
/// none is: some service is better than none. Returns whether that has changed for any of them.
pub(crate) fn set<'a>(
    all: impl Iterator<Item = &'a mut PassedOver>,
    at: Option<usize>,
    unwell: bool,
) -> bool {
    let mut all: Vec<_> = all.collect();
    if let Some(one) = at.and_then(|at| all.get_mut(at)) {
        one.unwell = unwell;
    }
    let any_well = all.iter().any(|it| !it.unwell);
    let mut changed = false;
    for it in all {
        let now = it.unwell && any_well;
        changed |= std::mem::replace(&mut it.now, now) != now;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_well_is_passed_over_as_long_as_another_one_is() {
        let mut all = [PassedOver::default(); 3];
        for (at, unwell, changes, passed_over) in [
            (0, false, false, [false; 3]),
            (0, true, true, [true, false, false]),
            (0, true, false, [true, false, false]),
            (2, true, true, [true, false, true]),
            (1, true, true, [false; 3]),
            (0, false, true, [false, true, true]),
            (2, false, true, [false, true, false]),
        ] {
            assert_eq!(set(all.iter_mut(), Some(at), unwell), changes, "{at}");
            assert_eq!(all.map(PassedOver::now), passed_over, "{at}");
        }
    }
}
