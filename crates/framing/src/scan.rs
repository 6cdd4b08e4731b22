//! Finds the ends of lines, many bytes at a time.

/// So many bytes are looked at together.
pub(crate) const PART: usize = 16;

/// So many are compared together.
pub(crate) const BLOCK: usize = 4 * PART;

/// Looks at many bytes together. A processor's vector instructions do it best, and take unsafe code, which this
/// crate has not.
pub trait Scan {
    /// A bit for each byte below 32, the lowest for the first byte.
    fn controls(part: &[u8; PART]) -> u16;

    /// Whether two texts are the same.
    fn is_same(one: &[u8; BLOCK], other: &[u8; BLOCK]) -> bool;
}

/// As every processor does it.
pub struct Portable;

impl Scan for Portable {
    #[inline]
    fn controls(part: &[u8; PART]) -> u16 {
        let mut bits = 0;
        for (byte, at) in part.iter().zip(0..) {
            bits |= u16::from(*byte < 32) << at;
        }
        bits
    }

    #[inline]
    fn is_same(one: &[u8; BLOCK], other: &[u8; BLOCK]) -> bool {
        let (one, _) = one.as_chunks::<PART>();
        let (other, _) = other.as_chunks::<PART>();
        one.iter()
            .zip(other)
            .all(|(one, other)| u128::from_ne_bytes(*one) == u128::from_ne_bytes(*other))
    }
}

/// A bit for each control byte in the part of a text that begins there; `None` behind its end.
#[inline]
pub(crate) fn controls<S: Scan>(text: &[u8], begin: usize) -> Option<u32> {
    match text.get(begin..)?.first_chunk() {
        Some(part) => Some(u32::from(S::controls(part))),
        None => last_controls::<S>(text, begin),
    }
}

/// The same of the last part, which is no whole one.
#[inline(never)]
fn last_controls<S: Scan>(text: &[u8], begin: usize) -> Option<u32> {
    let rest = text.get(begin..).filter(|rest| !rest.is_empty())?;
    if let Some(last) = text.last_chunk() {
        // Without those that belong to the part before.
        return Some(u32::from(S::controls(last)) >> (PART - rest.len()));
    }
    let mut part = [b' '; PART];
    for (to, from) in part.iter_mut().zip(rest) {
        *to = *from;
    }
    Some(u32::from(S::controls(&part)))
}

/// Where the first control byte other than a tab stands. In a head that is a line's end, or wrong.
pub(crate) fn control<S: Scan>(bytes: &[u8]) -> Option<usize> {
    let mut begin = 0;
    while let Some(mut controls) = controls::<S>(bytes, begin) {
        while controls != 0 {
            let at = begin + controls.trailing_zeros() as usize;
            if bytes.get(at) != Some(&b'\t') {
                return Some(at);
            }
            controls &= controls - 1;
        }
        begin += PART;
    }
    None
}
