//! A message as musl's `sendmsg` hands it to the kernel.
//!
//! musl gives two lengths of a message, and the one of a control message, half of the kernel's width. The
//! other half is whatever lay there, and musl clears it in a copy; glibc's lengths are the kernel's.

use crate::kernel::MsgHdr;

/// As much room for control messages as musl has: 255 descriptors.
const ROOM: usize = 1056;

const ENOMEM: i32 = 12;

/// Bytes of a `struct cmsghdr`.
const HEADER: usize = 16;

/// The copy.
pub(super) struct Message {
    header: MsgHdr,
    control: [u64; ROOM / 8],
}

impl Message {
    /// Copies a message of musl's.
    ///
    /// # Errors
    /// `ENOMEM` for more control messages than musl takes.
    ///
    /// # Safety
    /// As for `sendmsg` of musl, which reads the message and its control messages itself.
    pub(super) unsafe fn of(message: *const MsgHdr) -> Result<Self, i32> {
        // SAFETY: the caller's promise.
        let message = unsafe { &*message };
        let mut copy = Self {
            header: MsgHdr {
                iov_len: lower_half(message.iov_len),
                control_len: lower_half(message.control_len),
                ..*message
            },
            control: [0; ROOM / 8],
        };
        let len = copy.header.control_len;
        if len > ROOM {
            return Err(ENOMEM);
        }
        if len > 0 {
            let to = copy.control.as_mut_ptr().cast();
            // SAFETY: there is room for `len` bytes, and the program has so many there.
            unsafe { core::ptr::copy_nonoverlapping(message.control, to, len) };
            copy.clear_control();
        }
        Ok(copy)
    }

    /// What the kernel is to read, as long as this stays where it is.
    pub(super) fn header(&mut self) -> *const MsgHdr {
        if self.header.control_len > 0 {
            self.header.control = self.control.as_mut_ptr().cast();
        }
        &raw const self.header
    }

    fn clear_control(&mut self) {
        let mut at = 0;
        while at + HEADER <= self.header.control_len
            && let Some(word) = self.control.get_mut(at / 8)
        {
            *word = lower_half(*word as usize) as u64;
            let len = *word as usize;
            if len < HEADER {
                return;
            }
            at += len.next_multiple_of(8);
        }
    }
}

fn lower_half(len: usize) -> usize {
    len & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const GARBAGE: u64 = 0xdead_beef << 32;

    fn message(control: &mut [u64], len: usize) -> MsgHdr {
        MsgHdr {
            name: core::ptr::null_mut(),
            name_len: 0,
            iov: core::ptr::null_mut(),
            iov_len: 1 | GARBAGE as usize,
            control: control.as_mut_ptr().cast(),
            control_len: len | GARBAGE as usize,
            flags: 0,
        }
    }

    #[test]
    fn what_lies_between_the_fields_is_cleared() {
        // Two control messages, of 20 and of 16 bytes.
        let mut control = [20 | GARBAGE, 1, 7, 16 | GARBAGE, 2];
        let given = message(&mut control, 40);
        // SAFETY: the message and its control messages are those above.
        let mut copy = unsafe { Message::of(&given) }.unwrap_or_else(|_| panic!("it fits"));
        // SAFETY: the copy stays where it is.
        let header = unsafe { &*copy.header() };
        assert_eq!((header.iov_len, header.control_len), (1, 40));
        // SAFETY: as many bytes are there.
        let read = unsafe { core::slice::from_raw_parts(header.control.cast::<u64>(), 5) };
        assert_eq!(read, [20, 1, 7, 16, 2]);
        assert_eq!(control[0], 20 | GARBAGE, "the program's own stays as it is");
    }

    #[test]
    fn broken_control_messages_end_the_search_and_too_many_are_refused() {
        let mut control = [3 | GARBAGE, 0, 5 | GARBAGE, 0];
        let given = message(&mut control, 32);
        // SAFETY: the message and its control messages are those above.
        let copy = unsafe { Message::of(&given) }.unwrap_or_else(|_| panic!("it fits"));
        assert_eq!(copy.control[..3], [3, 0, 5 | GARBAGE]);
        let given = message(&mut control, ROOM + 1);
        // SAFETY: nothing is read of what is too long.
        assert_eq!(unsafe { Message::of(&given) }.err(), Some(ENOMEM));
    }
}
