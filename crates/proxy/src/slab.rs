//! A place for each connection, under a name that is never mistaken for a later one's.

/// Names an entry. Once that is removed the name is good for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

/// The bits of a generation: so a key fits into an epoll event's data beside its kind.
const GENERATION: u32 = 23;

impl Key {
    /// The key in 55 bits.
    pub(crate) fn bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(crate) fn of(bits: u64) -> Self {
        Self {
            index: bits as u32,
            generation: (bits >> 32) as u32 & ((1 << GENERATION) - 1),
        }
    }
}

/// Entries by their keys.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Adds what `make` makes of the key that it will have.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn insert<E>(&mut self, make: impl FnOnce(Key) -> Result<T, E>) -> Result<Key, E> {
        let index = match self.free.last() {
            Some(index) => *index,
            None => {
                self.entries.push((0, None));
                let index = self.entries.len() as u32 - 1;
                self.free.push(index);
                index
            }
        };
        let mut key = Key {
            index,
            generation: 0,
        };
        if let Some((generation, entry)) = self.entries.get_mut(index as usize) {
            key.generation = *generation;
            *entry = Some(make(key)?);
            self.free.pop();
        }
        Ok(key)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.entries.get(key.index as usize) {
            Some((generation, entry)) if *generation == key.generation => entry.as_ref(),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut(key.index as usize) {
            Some((generation, entry)) if *generation == key.generation => entry.as_mut(),
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (generation, entry) = self.entries.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let entry = entry.take()?;
        *generation = (*generation + 1) & ((1 << GENERATION) - 1);
        self.free.push(key.index);
        Some(entry)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> + '_ {
        (0..)
            .zip(&mut self.entries)
            .filter_map(|(index, (generation, entry))| {
                let key = Key {
                    index,
                    generation: *generation,
                };
                Some((key, entry.as_mut()?))
            })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> + '_ {
        (0..)
            .zip(&self.entries)
            .filter_map(|(index, (generation, entry))| {
                let key = Key {
                    index,
                    generation: *generation,
                };
                Some((key, entry.as_ref()?))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_name_what_came_after() {
        let mut slab = Slab::new();
        let insert = |slab: &mut Slab<char>, it| slab.insert(|_| Ok::<_, ()>(it)).unwrap();
        let first = insert(&mut slab, 'a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = insert(&mut slab, 'b');
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&'b')));
        assert_eq!(slab.remove(first), None);
        assert_eq!(Key::of(second.bits()), second);
        assert_eq!(slab.iter().count(), 1);
        assert_eq!(slab.len(), 1);
    }
}
