//! Bodies: how long they are, taking them out of the stream, and putting them in anew.

use std::io::Write;
use std::ops::Range;

use crate::Refusal;
use crate::chunked::Chunked;

/// How a message tells where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// After so many bytes.
    Length(u64),
    /// The chunked coding says so.
    Chunked,
    /// With the connection; responses only.
    Close,
}

/// What a step through a body has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// How many bytes of the input were read.
    pub read: usize,
    /// Which of them are data.
    pub data: Range<usize>,
}

/// Takes a body out of the stream of bytes.
#[derive(Clone, Debug)]
pub struct BodyDecoder(Decoder);

#[derive(Clone, Debug)]
enum Decoder {
    Left(u64),
    Chunked(Box<Chunked>),
    Close,
}

impl BodyDecoder {
    /// A reader at the beginning of a body.
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Empty => Decoder::Left(0),
            Framing::Length(len) => Decoder::Left(len),
            Framing::Chunked => Decoder::Chunked(Box::new(Chunked::new())),
            Framing::Close => Decoder::Close,
        })
    }

    /// Whether the body has come to its end. One that lasts until the connection ends never has.
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Decoder::Left(left) => *left == 0,
            Decoder::Chunked(chunked) => chunked.is_done(),
            Decoder::Close => false,
        }
    }

    /// Whether the rest of the body has exactly this length, and is known to.
    pub fn is_all_of(&self, len: usize) -> bool {
        matches!(self.0, Decoder::Left(left) if left > 0 && left == len as u64)
    }

    /// Whether the connection's end is the body's.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.0, Decoder::Close)
    }

    /// Whether it reads the chunked coding.
    pub fn is_chunked(&self) -> bool {
        matches!(self.0, Decoder::Chunked(_))
    }

    /// The trailer fields, each with its line end, once the body is done.
    pub fn trailers(&self) -> &[u8] {
        match &self.0 {
            Decoder::Chunked(chunked) => chunked.trailers(),
            Decoder::Left(_) | Decoder::Close => &[],
        }
    }

    /// Reads on: up to one run of data. To be called until the input is read or the body done.
    ///
    /// # Errors
    /// If the coding is broken.
    pub fn read(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        let (read, data) = match &mut self.0 {
            Decoder::Left(left) => {
                let len = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= len as u64;
                (len, len)
            }
            Decoder::Chunked(chunked) => chunked.read(input)?,
            Decoder::Close => (input.len(), input.len()),
        };
        Ok(Piece {
            read,
            data: read - data..read,
        })
    }
}

/// Puts a body into a stream of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEncoder {
    /// As it is: its length was told, or the connection's end tells it.
    Plain,
    /// In chunks.
    Chunked,
}

impl BodyEncoder {
    /// What is written before a run of data, for this framing; [`Self::after`] follows it.
    pub fn before(self, data: usize, to: &mut Vec<u8>) {
        if self == Self::Chunked && data > 0 {
            // Writing to a vector does not fail.
            let _ = write!(to, "{data:x}\r\n");
        }
    }

    /// What follows a run of data.
    pub fn after(self, data: usize) -> &'static [u8] {
        if self == Self::Chunked && data > 0 {
            b"\r\n"
        } else {
            b""
        }
    }

    /// Ends the body. Each of the trailer fields has its line end.
    pub fn end(self, trailers: &[u8], to: &mut Vec<u8>) {
        if self == Self::Chunked {
            to.extend_from_slice(b"0\r\n");
            to.extend_from_slice(trailers);
            to.extend_from_slice(b"\r\n");
        }
    }
}
