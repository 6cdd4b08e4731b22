//! Who is meant: the numbers of instances and of workers, each with a type of its own, so that none is
//! taken for another one, for a run or for a process.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which instance of its app, counted from 0: the 2 of `api-2`. Written and read as the plain number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Instance(pub u32);

impl Instance {
    /// The numbers that none of these has, the lowest first.
    pub fn free(taken: &[Self]) -> impl Iterator<Item = Self> {
        let all = (0..=u32::MAX).map(Self);
        all.filter(|it| !taken.contains(it))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which instance among all of the home, whatever their apps: what commands take, and pm2's `pm_id`.
/// Written and read as the plain number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// The number after it; the highest one has none, and stays.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which worker of the app at a listener. A worker that takes another's place has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub instance: Instance,
    /// Tells it from other workers of the same instance at the same listener: the lowest number
    /// that was free.
    pub ordinal: u32,
}

impl Place {
    /// Both numbers in one, the instance above: what clients stick to.
    pub fn key(self) -> u64 {
        u64::from(self.instance.0) << 32 | u64::from(self.ordinal)
    }

    /// The place that has this key.
    pub fn of_key(key: u64) -> Self {
        let [a, b, c, d, rest @ ..] = key.to_be_bytes();
        Self {
            instance: Instance(u32::from_be_bytes([a, b, c, d])),
            ordinal: u32::from_be_bytes(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_and_its_key_are_the_same() {
        for (instance, ordinal) in [(0, 0), (0, 1), (1, 0), (7, 3), (u32::MAX, u32::MAX)] {
            let place = Place {
                instance: Instance(instance),
                ordinal,
            };
            assert_eq!(Place::of_key(place.key()), place);
        }
        let place = Place {
            instance: Instance(2),
            ordinal: 1,
        };
        assert_eq!(format!("{:x}", place.key()), "200000001");
    }

    #[test]
    fn a_gap_is_filled_first() {
        let free = Instance::free(&[Instance(0), Instance(2)]);
        let free: Vec<_> = free.take(2).collect();
        assert_eq!(free, [Instance(1), Instance(3)]);
    }

    #[test]
    fn numbers_are_written_and_read_as_they_are_shown() {
        let (instance, id) = (Instance(3), InstanceId(12));
        assert_eq!(serde_json::to_string(&(instance, id)).unwrap(), "[3,12]");
        assert_eq!(
            serde_json::from_str::<(Instance, InstanceId)>("[3,12]").unwrap(),
            (instance, id)
        );
        assert_eq!(format!("api-{instance:0>2} {id}"), "api-03 12");
    }
}
