//! The chunked coding: where it ends.

/// Where in the coding a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// In a size: how many digits there were.
    Size(u8),
    /// In an extension. It is not looked at, but that no line end hides in it.
    Extension,
    /// Behind a size line's carriage return.
    SizeEnd,
    /// In a chunk's data.
    Data,
    /// Behind the data.
    DataEnd,
    /// Behind the data's carriage return.
    DataEndLine,
    /// At the beginning of a trailer, or of the last line.
    Trailer,
    /// Within a trailer.
    InTrailer,
    /// Behind a trailer's carriage return.
    TrailerEnd,
    /// Behind the last line's carriage return.
    LastEnd,
}

/// What a byte has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    At(Chunked),
    Done,
    Broken,
}

impl Chunked {
    /// One byte, outside of a chunk's data. `size` is that of the chunk.
    pub(crate) fn byte(self, byte: u8, size: &mut u64) -> Next {
        let at = match (self, byte) {
            (Self::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                *size = if digits == 0 { 0 } else { *size << 4 } | u64::from(digit);
                Self::Size(digits + 1)
            }
            (Self::Size(1..), b'\r') | (Self::Extension, b'\r') => Self::SizeEnd,
            (Self::Size(1..), b';') => Self::Extension,
            (Self::Extension, 32.. | b'\t') => Self::Extension,
            (Self::SizeEnd, b'\n') if *size == 0 => Self::Trailer,
            (Self::SizeEnd, b'\n') => Self::Data,
            (Self::DataEnd, b'\r') => Self::DataEndLine,
            (Self::DataEndLine, b'\n') => Self::Size(0),
            (Self::Trailer, b'\r') => Self::LastEnd,
            // A folded line is none that everybody reads in one way.
            (Self::Trailer, b' ' | b'\t' | b':') => return Next::Broken,
            (Self::Trailer | Self::InTrailer, 32.. | b'\t') => Self::InTrailer,
            (Self::InTrailer, b'\r') => Self::TrailerEnd,
            (Self::TrailerEnd, b'\n') => Self::Trailer,
            (Self::LastEnd, b'\n') => return Next::Done,
            _ => return Next::Broken,
        };
        Next::At(at)
    }
}
