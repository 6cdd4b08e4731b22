//! Where frames begin in a stream of bytes: those of HTTP/2, and the records of TLS.

/// Walks over frames, whose heads have `HEAD` bytes. What they contain is for others.
#[derive(Debug)]
pub(crate) struct Frames<const HEAD: usize> {
    head: [u8; HEAD],
    /// How much of the head has come.
    have: usize,
    /// What is still to come of the frame behind its head.
    left: usize,
    length: fn(&[u8; HEAD]) -> usize,
}

impl<const HEAD: usize> Frames<HEAD> {
    /// Begins behind `left` bytes of something else. `length` reads from a head how much follows.
    pub(crate) fn new(left: usize, length: fn(&[u8; HEAD]) -> usize) -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            left,
            length,
        }
    }

    /// Goes on behind the next head, if that is complete, or else to the end of the bytes.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<[u8; HEAD]> {
        skip(bytes, &mut self.left);
        while let [byte, rest @ ..] = *bytes {
            *bytes = rest;
            if let Some(to) = self.head.get_mut(self.have) {
                *to = *byte;
            }
            self.have += 1;
            if self.have == HEAD {
                self.have = 0;
                self.left = (self.length)(&self.head);
                return Some(self.head);
            }
        }
        None
    }
}

fn skip(bytes: &mut &[u8], left: &mut usize) {
    let len = bytes.len().min(*left);
    *left -= len;
    *bytes = bytes.get(len..).unwrap_or(&[]);
}

/// The length in the head of a frame of HTTP/2.
pub(crate) fn http2_length(head: &[u8; 9]) -> usize {
    let [a, b, c, ..] = *head;
    u32::from_be_bytes([0, a, b, c]) as usize
}

/// The length in the head of a record of TLS.
pub(crate) fn tls_length(head: &[u8; 5]) -> usize {
    let [.., high, low] = *head;
    usize::from(u16::from_be_bytes([high, low]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes arrive, the same frames are found.
    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let mut bytes = b"preface".to_vec();
        for (kind, length) in [(1_u8, 3_u8), (2, 0), (3, 200), (4, 1)] {
            bytes.extend([0, 0, length, kind, 0, 0, 0, 0, 0]);
            bytes.extend(vec![0xff; usize::from(length)]);
        }
        for size in 1..bytes.len() {
            let mut frames = Frames::new(7, http2_length);
            let mut kinds = Vec::new();
            for mut piece in bytes.chunks(size) {
                while let Some(head) = frames.next(&mut piece) {
                    kinds.push(head[3]);
                }
                assert!(piece.is_empty());
            }
            assert_eq!(kinds, [1, 2, 3, 4], "{size}");
        }
        let mut frames = Frames::new(0, tls_length);
        let mut records = &[23, 3, 3, 0, 2, 7, 7, 23, 3, 3, 1, 0][..];
        assert!(frames.next(&mut records).is_some());
        assert_eq!(records.len(), 7);
        assert!(frames.next(&mut records).is_some());
    }
}
