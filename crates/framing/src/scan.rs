//! Finds the end of a line, several bytes at a time.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where the first control byte other than a tab stands. In a head that is a line's end, or wrong.
pub(crate) fn control(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    // Compiled to a few vector instructions.
    while let Some(many) = bytes.get(at..).and_then(<[u8]>::first_chunk::<32>)
        && !many.iter().fold(false, |any, byte| any | (*byte < 32))
    {
        at += many.len();
    }
    while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*eight);
        // The lowest marked byte is below 32; what is marked above it may be an effect of the carry.
        let marked = word.wrapping_sub(LOW * 32) & !word & HIGH;
        if marked == 0 {
            at += 8;
            continue;
        }
        at += (marked.trailing_zeros() / 8) as usize;
        if bytes.get(at) != Some(&b'\t') {
            return Some(at);
        }
        at += 1;
    }
    let rest = bytes.get(at..)?;
    let found = rest.iter().position(|byte| *byte < 32 && *byte != b'\t')?;
    Some(at + found)
}
