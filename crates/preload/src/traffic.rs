//! What passes over the connections that the supervisor has sent: whether a request is in progress.
//!
//! Only the thread that accepted a connection follows it, within its own calls, so nothing is locked.
//! A call from another thread, or one that is not understood, ends that: the connection then stays
//! where it is. What passes unseen, the kernel's counts betray before a connection is moved.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use framing::{Connection, Seen};
use wire::Passed;

use crate::table::{Kind, Slot};
use crate::{arch, give_back, kernel, stream};

/// Connections whose descriptors are below this are followed. The table takes no memory before it is
/// used.
const MOST: usize = 16 * 1024;

/// An entry is not used.
const FREE: u32 = 0;
const FOLLOWED: u32 = 1;
/// The connection is on its way to another worker.
const MOVING: u32 = 2;

/// So many turns a program's loop has before it waits for the input of what it has accepted. asyncio, the slowest known,
/// needs three. A program that never waits with an epoll (one thread for each connection) delays its drain by the
/// supervisor's first six pauses, 0.3 s in all.
const TURNS: u8 = 6;

/// One connection's place in the table.
pub(crate) struct Entry {
    state: AtomicU32,
    /// The thread that follows it.
    thread: AtomicU64,
    /// That thread looks at it: a signal may come in between, and call.
    inside: AtomicBool,
    followed: UnsafeCell<MaybeUninit<Followed>>,
}

/// What is known of a connection.
pub(crate) struct Followed {
    connection: Connection,
    pub(crate) passed: Passed,
    /// The client's `sockaddr`, and how many bytes of it count.
    peer: [u8; 28],
    peer_len: u8,
    /// In how many turns of its loop the program did not wait for its input, though it was idle and to be given back.
    unready: u8,
    /// Where it was accepted, and through which channel.
    pub(crate) slot: &'static Slot,
    pub(crate) channel: u64,
}

// SAFETY: `followed` is written before the state says so, and touched by the thread in `thread` alone,
// which `inside` keeps from doing so twice at a time.
unsafe impl Sync for Entry {}

static TABLE: [Entry; MOST] = [const {
    Entry {
        state: AtomicU32::new(FREE),
        thread: AtomicU64::new(0),
        inside: AtomicBool::new(false),
        followed: UnsafeCell::new(MaybeUninit::uninit()),
    }
}; MOST];

/// No descriptor above this has been followed.
static HIGHEST: AtomicU32 = AtomicU32::new(0);

/// The process that accepts: a child of `vfork` shares its memory.
static PROCESS: AtomicI32 = AtomicI32::new(0);

impl Followed {
    pub(crate) fn peer(&self) -> &[u8] {
        self.peer.get(..usize::from(self.peer_len)).unwrap_or(&[])
    }

    fn is_busy(&self) -> bool {
        self.connection.seen() == Seen::Busy
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.connection.seen() == Seen::Idle
    }

    /// Whether the program may be about to wait for its input: another turn of its loop counts.
    fn may_become_ready(&mut self, turn: bool) -> bool {
        let may = self.unready < TURNS;
        self.unready += u8::from(may && turn);
        may
    }
}

impl Entry {
    /// Lets the thread that follows this connection look at it.
    #[inline]
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut Followed) -> R) -> Option<R> {
        if self.inside.load(Relaxed) {
            // A signal handler calls in the middle of another call.
            self.state.store(FREE, Release);
            return None;
        }
        self.inside.store(true, Relaxed);
        // SAFETY: the entry is not free, so this has been written; the thread is the one that follows
        // it, by this function's callers, and not inside already.
        let result = look(unsafe { (*self.followed.get()).assume_init_mut() });
        self.inside.store(false, Relaxed);
        Some(result)
    }

    /// The connection is not followed any more. While another thread moves it, waits for that.
    #[inline(never)]
    fn give_up(&self) {
        while self
            .state
            .compare_exchange(FOLLOWED, FREE, AcqRel, Acquire)
            .is_err_and(|state| state == MOVING)
            && self.thread.load(Relaxed) != arch::thread()
        {
            kernel::yield_now();
        }
    }

    /// Keeps other threads out while the connection is moved. `false` if one has come before.
    pub(crate) fn hold(&self) -> bool {
        self.state
            .compare_exchange(FOLLOWED, MOVING, AcqRel, Relaxed)
            .is_ok()
    }

    /// Lets them in: the connection is here as before, or it is not.
    pub(crate) fn release(&self, moved: bool) {
        self.state
            .store(if moved { FREE } else { FOLLOWED }, Release);
    }

    /// Something has passed: `note` takes it down. What follows from it is done.
    fn pass(&self, fd: i32, note: impl FnOnce(&mut Followed)) {
        let next = self.with(|followed| {
            note(followed);
            match followed.connection.seen() {
                Seen::Opaque => Next::GiveUp,
                Seen::Idle if give_back::wants(followed) => Next::GiveBack,
                Seen::Idle | Seen::Busy => Next::Nothing,
            }
        });
        match next {
            Some(Next::GiveUp) => self.give_up(),
            Some(Next::GiveBack) => give_back::one(fd, self),
            Some(Next::Nothing) | None => {}
        }
    }

    /// The program has read some pieces: `each` gives them out one by one.
    pub(crate) fn received(&self, fd: i32, each: impl FnOnce(&mut dyn FnMut(&[u8]))) {
        self.pass(fd, |followed| {
            each(&mut |bytes| {
                followed.passed.read = followed.passed.read.wrapping_add(bytes.len() as u32);
                followed.connection.received_by::<arch::Sse2>(bytes);
            });
        });
    }

    /// It has written some.
    pub(crate) fn sent(&self, fd: i32, each: impl FnOnce(&mut dyn FnMut(&[u8]))) {
        self.pass(fd, |followed| {
            each(&mut |bytes| {
                followed.passed.written = followed.passed.written.wrapping_add(bytes.len() as u32);
                followed.connection.sent_by::<arch::Sse2>(bytes);
            });
        });
    }

    /// Whether the program has read its last request once more: that is noted. Otherwise nothing is, and the caller goes on
    /// with [`received`](Self::received).
    ///
    /// # Safety
    /// So many bytes must stand there.
    #[inline]
    pub(crate) unsafe fn received_again(&self, at: *const u8, count: usize) -> bool {
        // SAFETY: the caller's promise.
        let bytes = unsafe { core::slice::from_raw_parts(at, count) };
        let is_again = self.with(|followed| {
            let is_again = followed.connection.received_again::<arch::Sse2>(bytes);
            if is_again {
                followed.passed.read = followed.passed.read.wrapping_add(count as u32);
            }
            is_again
        });
        is_again == Some(true)
    }

    /// Whether it has answered with the last answer's head. What follows from that is done.
    ///
    /// # Safety
    /// As [`received_again`](Self::received_again).
    #[inline]
    pub(crate) unsafe fn sent_again(&self, fd: i32, at: *const u8, count: usize) -> bool {
        // SAFETY: the caller's promise.
        let bytes = unsafe { core::slice::from_raw_parts(at, count) };
        let next = self.with(|followed| {
            if !followed.connection.sent_again::<arch::Sse2>(bytes) {
                return None;
            }
            followed.passed.written = followed.passed.written.wrapping_add(count as u32);
            Some(give_back::wants(followed))
        });
        match next {
            Some(Some(true)) => give_back::one(fd, self),
            Some(Some(false)) => {}
            Some(None) | None => return false,
        }
        true
    }

    /// It has written as many bytes out of a file.
    pub(crate) fn sent_unseen(&self, fd: i32, count: u64) {
        self.pass(fd, |followed| {
            followed.passed.written = followed.passed.written.wrapping_add(count as u32);
            followed.connection.sent_unseen(count);
        });
    }

    /// Whether the calling thread follows it.
    #[inline]
    pub(crate) fn is_mine(&self) -> bool {
        self.thread.load(Relaxed) == arch::thread()
    }

    /// The same, asked before a call that reads or writes. Where another thread makes that call, the connection is not
    /// followed any more.
    #[inline]
    pub(crate) fn is_mine_alone(&self) -> bool {
        let is_mine = self.is_mine();
        if !is_mine {
            self.give_up();
        }
        is_mine
    }
}

enum Next {
    Nothing,
    GiveUp,
    GiveBack,
}

/// The entry of a connection that is followed.
#[inline]
pub(crate) fn find(fd: i32) -> Option<&'static Entry> {
    // Negative numbers become large ones.
    let entry = TABLE.get(fd as u32 as usize)?;
    (entry.state.load(Acquire) != FREE).then_some(entry)
}

/// The same for the thread that follows it.
#[inline]
pub(crate) fn mine(fd: i32) -> Option<&'static Entry> {
    find(fd).filter(|entry| entry.is_mine_alone())
}

/// Follows a connection that has just been accepted.
pub(crate) fn begin(fd: i32, slot: &'static Slot, channel: u64, peer: &[u8], passed: Passed) {
    let Some(entry) = TABLE.get(fd as u32 as usize) else {
        return;
    };
    // Of an earlier file with this number, whose end was not seen.
    entry.state.store(FREE, Release);
    let mut followed = Followed {
        connection: Connection::new(),
        passed,
        peer: [0; 28],
        peer_len: peer.len().min(28) as u8,
        unready: 0,
        slot,
        channel,
    };
    for (to, from) in followed.peer.iter_mut().zip(peer) {
        *to = *from;
    }
    // SAFETY: while the entry is free nobody reads it; the descriptor is the caller's alone so far.
    unsafe { (*entry.followed.get()).write(followed) };
    entry.thread.store(arch::thread(), Relaxed);
    entry.inside.store(false, Relaxed);
    let process = slot.process.load(Relaxed);
    if PROCESS.load(Relaxed) != process {
        PROCESS.store(process, Relaxed);
    }
    HIGHEST.fetch_max(fd as u32, Relaxed);
    entry.state.store(FOLLOWED, Release);
}

/// On how many connections of this listener that the calling thread follows a request is in progress. While more are
/// to be given back, one that is idle and still here has been accepted just now, and its program does not wait for input
/// yet: it counts if its request is there or about to come, and for some turns of the program's loop in any case, as it can
/// be given back then. `turn`: this is another turn than when this was asked last.
pub(crate) fn busy(slot: &Slot, turn: bool) -> u32 {
    let gives_all = slot.back_left.load(Relaxed) > 0;
    let highest = HIGHEST.load(Relaxed) as usize;
    let entries = TABLE.get(..=highest).unwrap_or(&TABLE);
    let is_busy = |fd: i32, entry: &Entry| {
        let busy = entry.with(|followed| {
            let is_its = core::ptr::eq(followed.slot, slot)
                && slot.kind() == Kind::Channel(followed.channel);
            // One whose close was not seen is none.
            let is_busy = is_its
                && (followed.is_busy()
                    || gives_all
                        && followed.is_idle()
                        && (followed.may_become_ready(turn)
                            || stream::expects_request(fd, followed.passed)));
            is_busy && stream::is_with(fd, followed.peer())
        });
        busy == Some(true)
    };
    let mut count = 0;
    for (fd, entry) in entries.iter().enumerate() {
        let followed = entry.state.load(Acquire) == FOLLOWED && entry.is_mine();
        if followed && is_busy(fd as i32, entry) {
            count += 1;
        }
    }
    count
}

/// Something is done with this descriptor that is not understood: the connection is not followed.
#[inline]
pub(crate) fn spoil(fd: i32) {
    if let Some(entry) = find(fd) {
        entry.give_up();
    }
}

/// The program closes this descriptor.
#[inline]
pub(crate) fn closed(fd: i32) {
    if let Some(entry) = find(fd)
        && PROCESS.load(Relaxed) == kernel::getpid()
    {
        entry.give_up();
    }
}
