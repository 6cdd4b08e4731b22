//! Epolls that know a descriptor already before another file takes its place.
//!
//! A registration belongs to the file behind a descriptor. When a channel takes the listener's
//! place the old registration would be lost, or, while the supervisor holds the real listener,
//! go on waking the program for connections that it is not given. So it is with a connection that
//! moves to another worker. The kernel lists registrations
//! in `/proc/self/fdinfo`; they are taken out before the change, and put back after it.

use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

use crate::kernel::{self, EEXIST, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EpollEvent};

/// How many epolls may know one listener; a program has one or two.
const MOST: usize = 8;

/// The epolls of this process, as they were when they were last looked for.
pub(crate) struct Epolls([AtomicI32; MOST]);

impl Epolls {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicI32::new(-1) }; MOST])
    }

    /// Looks for them.
    pub(crate) fn find(&self) {
        let mut places = self.0.iter();
        each_epoll(|epoll| {
            if let Some(place) = places.next() {
                place.store(epoll, Relaxed);
            }
        });
        for place in places {
            place.store(-1, Relaxed);
        }
    }

    /// Has all of them forget `fd`.
    pub(crate) fn forget(&self, fd: i32) {
        let nothing = EpollEvent { events: 0, data: 0 };
        for epoll in self.iter() {
            kernel::epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &nothing);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = i32> + '_ {
        let epolls = self.0.iter().map(|place| place.load(Relaxed));
        epolls.filter(|epoll| *epoll >= 0)
    }
}

/// The registrations of one descriptor: which epoll, and what it wants to know.
pub(crate) struct Registrations {
    found: [(i32, EpollEvent); MOST],
    len: usize,
}

impl Registrations {
    /// Takes `fd` out of every epoll of this process.
    pub(crate) fn take(fd: i32) -> Self {
        let mut registrations = Self::none();
        each_epoll(|epoll| {
            if let Some(event) = registration(epoll, fd) {
                registrations.take_out(epoll, fd, event);
            }
        });
        registrations
    }

    /// Takes `fd` out of these epolls, which are all that may know it. What one of them has
    /// registered may be known already.
    pub(crate) fn take_from(epolls: &Epolls, fd: i32, known: Option<(i32, EpollEvent)>) -> Self {
        let mut registrations = Self::none();
        for epoll in epolls.iter() {
            match known {
                Some((this, event)) if this == epoll => registrations.take_out(epoll, fd, event),
                // To look whether there is a registration takes as long as there are others.
                _ if !knows(epoll, fd) => {}
                _ => {
                    if let Some(event) = registration(epoll, fd) {
                        registrations.take_out(epoll, fd, event);
                    }
                }
            }
        }
        registrations
    }

    const fn none() -> Self {
        let none = EpollEvent { events: 0, data: 0 };
        Self {
            found: [(-1, none); MOST],
            len: 0,
        }
    }

    fn take_out(&mut self, epoll: i32, fd: i32, event: EpollEvent) {
        if let Some(place) = self.found.get_mut(self.len)
            && kernel::epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event) == 0
        {
            *place = (epoll, event);
            self.len += 1;
        }
    }

    /// Whether one of them waits for something to be read.
    pub(crate) fn wait_for_input(&self) -> bool {
        const EPOLLIN: u32 = 1;
        let mut found = self.found.iter().take(self.len);
        found.any(|(_, event)| event.events & EPOLLIN != 0)
    }

    /// Registers `fd`, whatever file it is by now, as it was before.
    pub(crate) fn put_back(&self, fd: i32) {
        for (epoll, event) in self.found.iter().take(self.len) {
            kernel::epoll_ctl(*epoll, EPOLL_CTL_ADD, fd, event);
        }
    }
}

/// Calls `each` with every epoll descriptor of this process.
fn each_epoll(mut each: impl FnMut(i32)) {
    let directory = kernel::open(-1, b"/proc/self/fd\0", kernel::O_DIRECTORY);
    if directory < 0 {
        return;
    }
    let directory = directory as i32;
    let mut bytes = [0; 1024];
    loop {
        let len = kernel::getdents(directory, &mut bytes);
        let Some(mut entries) = usize::try_from(len)
            .ok()
            .filter(|len| *len > 0)
            .and_then(|len| bytes.get(..len))
        else {
            break;
        };
        // struct linux_dirent64: inode, offset, length of the entry, type, name.
        while let Some(&size) = entries.get(16..).and_then(<[u8]>::first_chunk) {
            let size = usize::from(u16::from_ne_bytes(size));
            let Some(name) = entries.get(19..size) else {
                break;
            };
            if let Some(fd) = decimal(name)
                && is_epoll(directory, name)
            {
                each(fd);
            }
            entries = entries.get(size..).unwrap_or(&[]);
        }
    }
    kernel::close(directory);
}

fn is_epoll(directory: i32, name: &[u8]) -> bool {
    const EPOLL: &[u8] = b"anon_inode:[eventpoll]";
    let Some(end) = name.iter().position(|byte| *byte == 0) else {
        return false;
    };
    let mut target = [0; EPOLL.len() + 1];
    let len = name
        .get(..=end)
        .map_or(-1, |name| kernel::readlink(directory, name, &mut target));
    usize::try_from(len).ok().and_then(|len| target.get(..len)) == Some(EPOLL)
}

/// Whether this epoll knows `fd`.
fn knows(epoll: i32, fd: i32) -> bool {
    let nothing = EpollEvent { events: 0, data: 0 };
    match kernel::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &nothing) {
        0 => {
            kernel::epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &nothing);
            false
        }
        error => error == -(EEXIST as isize),
    }
}

/// What this epoll has registered for `fd`.
fn registration(epoll: i32, fd: i32) -> Option<EpollEvent> {
    let mut found = None;
    each_registration(epoll, |target, event| {
        if target == fd {
            found = Some(event);
        }
        found.is_none()
    });
    found
}

/// Calls `each` with every descriptor that this epoll knows, and what it has registered, until it says
/// no. They come from the epoll's `fdinfo`, as it is at the beginning: lines of
/// `tfd: 5 events: 19 data: 7 pos:…`, the last two in hexadecimal.
pub(crate) fn each_registration(epoll: i32, mut each: impl FnMut(i32, EpollEvent) -> bool) {
    let mut path = [0; 40];
    if write_path(&mut path, epoll).is_none() {
        return;
    }
    let file = kernel::open(-1, &path, 0);
    if file < 0 {
        return;
    }
    let file = file as i32;
    let mut line = Line::default();
    let mut bytes = [0; 512];
    'file: loop {
        let len = kernel::read(file, &mut bytes);
        let Some(chunk) = usize::try_from(len)
            .ok()
            .filter(|len| *len > 0)
            .and_then(|len| bytes.get(..len))
        else {
            break;
        };
        for byte in chunk {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            if let Some((target, event)) = line.parse()
                && !each(target, event)
            {
                break 'file;
            }
            line = Line::default();
        }
    }
    kernel::close(file);
}

/// One line of an `fdinfo`; what is too long is cut off.
struct Line {
    bytes: [u8; 128],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; 128],
            len: 0,
        }
    }
}

impl Line {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn parse(&self) -> Option<(i32, EpollEvent)> {
        let mut words = self
            .bytes
            .get(..self.len)?
            .split(|byte| *byte == b' ')
            .filter(|word| !word.is_empty());
        let mut field = |name: &[u8], radix| {
            (words.next()? == name).then_some(())?;
            number(words.next()?, radix)
        };
        let fd = field(b"tfd:", 10)?;
        let events = field(b"events:", 16)?;
        let data = field(b"data:", 16)?;
        Some((
            i32::try_from(fd).ok()?,
            EpollEvent {
                events: u32::try_from(events).ok()?,
                data,
            },
        ))
    }
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let mut value = 0u64;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix)?;
        value = value
            .checked_mul(u64::from(radix))?
            .checked_add(u64::from(digit))?;
    }
    (!digits.is_empty()).then_some(value)
}

/// A zero-terminated directory entry that is a number.
fn decimal(name: &[u8]) -> Option<i32> {
    let end = name.iter().position(|byte| *byte == 0)?;
    i32::try_from(number(name.get(..end)?, 10)?).ok()
}

/// Writes `/proc/self/fdinfo/<fd>`, padded with zeros.
fn write_path(path: &mut [u8; 40], fd: i32) -> Option<()> {
    const FOLDER: &[u8] = b"/proc/self/fdinfo/";
    let mut rest = u32::try_from(fd).ok()?;
    for (to, from) in path.iter_mut().zip(FOLDER) {
        *to = *from;
    }
    // Digits from the last to the first, into their places.
    let digits = core::iter::successors(Some(rest), |rest| (*rest >= 10).then_some(rest / 10));
    let last = FOLDER.len() + digits.count();
    for to in path.get_mut(FOLDER.len()..last)?.iter_mut().rev() {
        *to = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let mut line = Line::default();
        for byte in b"tfd:       12 events: 80000019 data: ffffffff0000000c  pos:0 ino:1f sdev:9" {
            line.push(*byte);
        }
        let (fd, event) = line.parse().unwrap();
        let (events, data) = (event.events, event.data);
        assert_eq!((fd, events, data), (12, 0x8000_0019, 0xffff_ffff_0000_000c));
    }

    #[test]
    fn other_lines_are_not() {
        for text in [
            "",
            "pos:\t0",
            "tfd: x events: 1 data: 1",
            "tfd: 1 events: 1",
        ] {
            let mut line = Line::default();
            for byte in text.bytes() {
                line.push(byte);
            }
            assert!(line.parse().is_none(), "{text}");
        }
    }

    #[test]
    fn paths_end_with_the_number() {
        for (fd, digits) in [(0, "0"), (7, "7"), (10, "10"), (1024, "1024")] {
            let mut path = [0; 40];
            write_path(&mut path, fd).unwrap();
            let text = std::ffi::CStr::from_bytes_until_nul(&path).unwrap();
            assert_eq!(
                text.to_str().unwrap(),
                format!("/proc/self/fdinfo/{digits}")
            );
        }
        assert!(write_path(&mut [0; 40], -1).is_none());
    }
}
