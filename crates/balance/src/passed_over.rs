//! Members that get nothing as long as others can have it: those that are not well.

/// Whether a member is passed over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PassedOver {
    /// It is not well.
    unwell: bool,
    /// It is passed over: some other one is well.
    now: bool,
}

impl PassedOver {
    pub(crate) fn now(self) -> bool {
        self.now
    }
}

/// Sets whether one of all members is well. Where none is, all are served: none would be worse. Whether
/// something changes for any of them.
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
