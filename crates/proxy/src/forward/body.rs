//! A body on its way: taken out of one framing, and put into another.

use std::ops::Range;

use http1::{BodyDecoder, BodyEncoder, Refusal};

/// A run of a body no longer than this is copied behind what precedes it: the kernel takes one
/// buffer faster than two.
const COPIED: usize = 4096;

/// The bytes of framing that cost a unit of [`crate::limits::shares`]: each is looked at, and each
/// run between them is copied by itself.
const FRAMING: usize = 512;

/// So much of it a client may have read in one step. What a step has read goes on with one call, and
/// wakes the worker once: shorter steps cost more calls than they save work.
pub(crate) const OF_STEP: usize = 16 * FRAMING;

/// What one step costs at most for its framing.
#[cfg(test)]
pub(crate) const UNITS: usize = OF_STEP / FRAMING;

/// What has been read of a body.
pub(crate) struct Coded {
    /// How much of the input was read.
    pub(crate) read: usize,
    /// How many bytes of the body were in it.
    pub(crate) data: usize,
    /// Which part of the input is to follow `out` as it is, so that it need not be copied.
    pub(crate) direct: Range<usize>,
}

impl Coded {
    /// What that costs beside its step.
    pub(crate) fn units(&self) -> u32 {
        u32::try_from((self.read - self.data) / FRAMING).unwrap_or(u32::MAX)
    }
}

/// Reads a body on, until so many bytes of framing have been read, and writes it anew behind what is in
/// `out`. Chunks that came together go on as one: a sender of small chunks costs the receiver no more
/// than a sender of large ones. (Node reads 350,000 chunks of one byte in a turn of its loop, for a
/// quarter of a second.)
pub(crate) fn recode(
    decoder: &mut BodyDecoder,
    encoder: BodyEncoder,
    input: &[u8],
    framing: usize,
    out: &mut Vec<u8>,
) -> Result<Coded, Refusal> {
    if encoder == BodyEncoder::Plain && !decoder.is_chunked() {
        let piece = decoder.read(input)?;
        let data = piece.data.len();
        let direct = if data <= COPIED {
            out.extend_from_slice(input.get(piece.data).unwrap_or(&[]));
            0..0
        } else {
            piece.data
        };
        return Ok(Coded {
            read: piece.read,
            data,
            direct,
        });
    }
    let start = out.len();
    let mut at = 0;
    let mut all = 0;
    while at < input.len() && !decoder.is_done() && at - all < framing {
        let rest = input.get(at..).unwrap_or(&[]);
        let piece = decoder.read(rest)?;
        at += piece.read;
        let data = rest.get(piece.data).unwrap_or(&[]);
        // Mostly there is one run, and it ends the input: then its length is known beforehand.
        if all == 0 && at == input.len() {
            encoder.before(data.len(), out);
            out.extend_from_slice(data);
            out.extend_from_slice(encoder.after(data.len()));
            return Ok(Coded {
                read: at,
                data: data.len(),
                direct: 0..0,
            });
        }
        out.extend_from_slice(data);
        all += data.len();
    }
    let mut size = Vec::new();
    encoder.before(all, &mut size);
    out.splice(start..start, size);
    out.extend_from_slice(encoder.after(all));
    Ok(Coded {
        read: at,
        data: all,
        direct: 0..0,
    })
}

#[cfg(test)]
mod tests {
    use http1::Framing;

    use super::*;

    #[test]
    fn what_is_mostly_framing_is_read_in_part() {
        let input = b"1\r\na\r\n".repeat(10_000);
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let (mut at, mut data, mut steps) = (0, 0, 0);
        while at < input.len() {
            let mut out = Vec::new();
            let rest = &input[at..];
            let coded = recode(&mut decoder, BodyEncoder::Chunked, rest, OF_STEP, &mut out);
            let coded = coded.unwrap();
            assert!(coded.units() as usize <= UNITS);
            at += coded.read;
            data += coded.data;
            steps += 1;
        }
        assert_eq!((data, steps), (10_000, 7));
    }

    /// What the chunked input becomes, read in pieces of this size.
    fn recoded(input: &[u8], size: usize, encoder: BodyEncoder) -> Vec<u8> {
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let mut out = b"head".to_vec();
        let mut data = 0;
        for piece in input.chunks(size) {
            let coded = recode(&mut decoder, encoder, piece, usize::MAX, &mut out).unwrap();
            assert_eq!((coded.read, coded.direct), (piece.len(), 0..0));
            data += coded.data;
        }
        assert!(decoder.is_done() && data == 8);
        out
    }

    #[test]
    fn chunks_that_come_together_go_on_as_one() {
        let input = b"1\r\na\r\n1\r\nb\r\n4;x\r\ncdef\r\n2\r\ngh\r\n0\r\n\r\n";
        let together = recoded(input, input.len(), BodyEncoder::Chunked);
        assert_eq!(together, b"head8\r\nabcdefgh\r\n");
        assert_eq!(
            recoded(input, 9, BodyEncoder::Chunked),
            b"head1\r\na\r\n2\r\nbc\r\n4\r\ndefg\r\n1\r\nh\r\n"
        );
        for size in 1..input.len() {
            let plain = recoded(input, size, BodyEncoder::Plain);
            assert_eq!(plain, b"headabcdefgh", "{size}");
            let mut decoder = BodyDecoder::new(Framing::Chunked);
            let chunked = recoded(input, size, BodyEncoder::Chunked);
            let (mut rest, mut data) = ([&chunked[4..], b"0\r\n\r\n"].concat(), Vec::new());
            while !decoder.is_done() {
                let piece = decoder.read(&rest).unwrap();
                data.extend_from_slice(&rest[piece.data]);
                rest.drain(..piece.read);
            }
            assert_eq!(data, b"abcdefgh", "{size}");
        }
    }
}
