//! What the library remembers of a program's descriptors.
//!
//! A fixed table of atomics: nothing is allocated or locked, and it may be read from any thread
//! and in a forked child. An entry can be stale, for a `close` may pass unseen and its number
//! then serve another file; so whoever acts on an entry lets the kernel confirm it.

use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::*,
};

use wire::Address;

use crate::{arch, kernel, park};

/// How many listening sockets one process may have through us; further ones stay native.
const SLOTS: usize = 256;

/// Some bytes that may be read while they are written; torn, then, but never wild.
pub(crate) struct Words {
    len: AtomicUsize,
    words: [AtomicU64; Self::SIZE / 8],
}

impl Words {
    pub(crate) const SIZE: usize = 112;

    pub(crate) const fn new() -> Self {
        Self {
            len: AtomicUsize::new(0),
            words: [const { AtomicU64::new(0) }; Self::SIZE / 8],
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Acquire) == 0
    }

    /// Keeps up to [`Self::SIZE`] bytes.
    pub(crate) fn store(&self, bytes: &[u8]) {
        for (word, bytes) in self.words.iter().zip(bytes.chunks(8)) {
            let mut eight = [0; 8];
            for (to, from) in eight.iter_mut().zip(bytes) {
                *to = *from;
            }
            word.store(u64::from_ne_bytes(eight), Relaxed);
        }
        self.len.store(bytes.len().min(Self::SIZE), Release);
    }

    /// Copies the bytes out; how many there are.
    pub(crate) fn load(&self, bytes: &mut [u8; Self::SIZE]) -> usize {
        let len = self.len.load(Acquire);
        for (bytes, word) in bytes.chunks_mut(8).zip(&self.words) {
            for (to, from) in bytes.iter_mut().zip(word.load(Relaxed).to_ne_bytes()) {
                *to = from;
            }
        }
        len.min(Self::SIZE)
    }
}

/// What a descriptor is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bound only in pretence, to an address that other workers share.
    Claimed,
    /// Replaced by the channel of this number.
    Channel(u64),
}

pub(crate) struct Slot {
    /// The descriptor plus one; 0 while the slot is free.
    fd: AtomicI32,
    /// The channel's number; 0 for [`Kind::Claimed`].
    channel: AtomicU64,
    /// The listener's address.
    address: Words,
    /// The kernel's number for the socket of [`Kind::Claimed`].
    pub(crate) cookie: AtomicU64,
    /// The thread that was last reported to accept here, see [`arch::thread`].
    pub(crate) thread: AtomicU64,
    /// How many threads have been reported.
    pub(crate) reports: AtomicU32,
    /// Whether that thread has accepted here, or has only made the entry.
    pub(crate) accepted: AtomicBool,
    /// Another process has opened it, and this one has not asked for a channel of its own.
    pub(crate) inherited: AtomicBool,
    /// Accept has said last that no descriptor is left.
    pub(crate) is_full: AtomicBool,
    /// The process that made the entry, or that has accepted here.
    pub(crate) process: AtomicI32,
    /// The descriptor limit as last read; above it, in the upper half, the latest descriptor.
    pub(crate) limit: AtomicU64,
    /// Over which socket connections are given back, plus one, and the kernel's number for it.
    pub(crate) back: AtomicI32,
    pub(crate) back_cookie: AtomicU64,
    /// How many more are; none before the supervisor asks for any.
    pub(crate) back_left: AtomicU32,
    /// The same socket for those that the program closes, plus one; 0 where it simply closes them.
    pub(crate) park: AtomicI32,
    pub(crate) park_cookie: AtomicU64,
}

impl Slot {
    const fn free() -> Self {
        Self {
            fd: AtomicI32::new(0),
            channel: AtomicU64::new(0),
            address: Words::new(),
            cookie: AtomicU64::new(0),
            thread: AtomicU64::new(0),
            reports: AtomicU32::new(0),
            accepted: AtomicBool::new(false),
            inherited: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
            process: AtomicI32::new(0),
            limit: AtomicU64::new(0),
            back: AtomicI32::new(0),
            back_cookie: AtomicU64::new(0),
            back_left: AtomicU32::new(0),
            park: AtomicI32::new(0),
            park_cookie: AtomicU64::new(0),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.channel.load(Acquire) {
            0 => Kind::Claimed,
            channel => Kind::Channel(channel),
        }
    }

    pub(crate) fn address(&self) -> Address {
        let mut bytes = [0; Words::SIZE];
        let len = self.address.load(&mut bytes);
        bytes
            .get(..len)
            .and_then(Address::new)
            .unwrap_or(Address::NONE)
    }

    pub(crate) fn forget(&self) {
        self.fd.store(0, Release);
    }
}

static TABLE: [Slot; SLOTS] = [const { Slot::free() }; SLOTS];
/// One more than the highest slot that was ever used: most look-ups end after it.
static USED: AtomicUsize = AtomicUsize::new(0);

/// The highest descriptor that was ever remembered. Listeners are opened early, and connections lie above them.
static HIGHEST: AtomicU32 = AtomicU32::new(0);

/// What is remembered of this descriptor.
#[inline]
pub(crate) fn find(fd: i32) -> Option<&'static Slot> {
    // Negative numbers become large ones.
    if fd as u32 > HIGHEST.load(Acquire) {
        return None;
    }
    find_below(fd)
}

fn find_below(fd: i32) -> Option<&'static Slot> {
    let used = USED.load(Acquire);
    let wanted = fd.wrapping_add(1);
    TABLE
        .iter()
        .take(used)
        .find(|slot| slot.fd.load(Acquire) == wanted)
}

/// Whether another descriptor can be remembered.
pub(crate) fn has_room() -> bool {
    TABLE.iter().any(|slot| slot.fd.load(Relaxed) == 0)
}

/// Remembers a descriptor, in place of what was known of its number. `false` if there is no room.
pub(crate) fn remember(fd: i32, kind: Kind, address: &Address) -> bool {
    let slot = match find(fd) {
        Some(slot) => slot,
        None => {
            // -1 marks a slot that is being filled, so that nobody finds or takes it.
            let Some((at, slot)) = TABLE
                .iter()
                .enumerate()
                .find(|(_, slot)| slot.fd.compare_exchange(0, -1, AcqRel, Relaxed).is_ok())
            else {
                return false;
            };
            USED.fetch_max(at + 1, AcqRel);
            slot
        }
    };
    slot.address.store(address.as_bytes());
    slot.channel.store(
        match kind {
            Kind::Claimed => 0,
            Kind::Channel(channel) => channel,
        },
        Release,
    );
    slot.cookie.store(
        match kind {
            Kind::Claimed => kernel::socket_cookie(fd).unwrap_or(0),
            Kind::Channel(_) => 0,
        },
        Relaxed,
    );
    slot.thread.store(arch::thread(), Relaxed);
    slot.reports.store(0, Relaxed);
    slot.accepted.store(false, Relaxed);
    slot.inherited.store(false, Relaxed);
    slot.is_full.store(false, Relaxed);
    slot.back_left.store(0, Relaxed);
    park::end(slot);
    slot.process.store(kernel::getpid(), Relaxed);
    // Descriptors are given out lowest first: this many are in use at least.
    let limit = kernel::descriptor_limit().min(0xffff_ffff);
    slot.limit.store((fd as u64) << 32 | limit, Relaxed);
    slot.fd.store(fd.wrapping_add(1), Release);
    HIGHEST.fetch_max(fd as u32, AcqRel);
    mark_process();
    true
}

/// A word that is 1 in the process that set it, and 0 in a child that was forked since; null
/// before it is needed, or where the kernel has no such page.
static MARK: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());

/// Whether this process was forked from the one that last asked.
fn is_forked() -> bool {
    // SAFETY: the pointer is null, or that of a page that is never unmapped.
    match unsafe { MARK.load(Acquire).as_ref() } {
        Some(mark) => mark.swap(1, Relaxed) == 0,
        None => false,
    }
}

fn mark_process() {
    if MARK.load(Acquire).is_null()
        && let Some(page) = kernel::page_wiped_on_fork()
    {
        MARK.store(page.cast(), Release);
    }
    is_forked();
}

/// In a child that was forked none of its threads has been reported, and its channels are another's.
pub(crate) fn notice_fork() {
    if !is_forked() {
        return;
    }
    for slot in &TABLE {
        slot.thread.store(0, Relaxed);
        slot.reports.store(0, Relaxed);
        slot.accepted.store(false, Relaxed);
        slot.inherited.store(true, Relaxed);
        slot.is_full.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_used_again_replaces_what_was_known() {
        let first = Address::new(b"first").unwrap();
        let second = Address::new(b"second").unwrap();
        assert!(remember(1000, Kind::Claimed, &first));
        assert!(remember(1000, Kind::Channel(8), &second));
        let slot = find(1000).unwrap();
        assert_eq!((slot.kind(), slot.address()), (Kind::Channel(8), second));
        slot.forget();
        assert!(find(1000).is_none());
        assert!(find(-1).is_none());
    }
}
