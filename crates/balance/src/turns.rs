//! Whose turn it is, and the best few of many: what all policies share.

/// Turns that members had. Each keeps the number of its last one.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The last turn that was had.
    last: u64,
    /// The place that is next in rotation.
    next: usize,
}

impl Turns {
    /// The member at this place has its turn now; the turn's number.
    pub(crate) fn take(&mut self, at: usize) -> u64 {
        self.next = at + 1;
        self.pass()
    }

    /// A member has had its chance, and others come first the next time; the turn's number.
    pub(crate) fn pass(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The member at this place has left: rotation goes on with the one that has moved into its
    /// place.
    pub(crate) fn left(&mut self, at: usize) {
        if at < self.next {
            self.next -= 1;
        }
    }

    /// All places of so many members, beginning with the one that is next in rotation.
    pub(crate) fn rotation(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let next = self.next;
        (0..count).map(move |step| (next + step) % count)
    }
}

/// Puts a candidate where it belongs among the best, the smallest of which stands first.
pub(crate) fn keep_best<T: Ord + Copy>(best: &mut [Option<T>], candidate: T) {
    let mut candidate = Some(candidate);
    for place in best {
        if place.is_none() || candidate < *place {
            std::mem::swap(place, &mut candidate);
        }
        if candidate.is_none() {
            break;
        }
    }
}
