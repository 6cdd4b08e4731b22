//! The chunked transfer coding, read strictly: RFC 9112, 7.1.

use crate::Refusal;
use crate::field::may_trail;
use crate::head::{HEADERS, is_token};

/// How long a chunk's size line may be, its extensions included. Extensions are read and dropped.
const LONGEST_LINE: u32 = 256;

/// Up to this many digits a size is read at once.
const SHORT: usize = 8;

/// How many bytes the extensions of one body may have, beside a part of its data: they cost work that
/// brings nothing. Who uses them signs chunks, with about 85 bytes for each of 64 KiB.
const EXTENSIONS: u64 = 16 * 1024;
const DATA_FOR_EXTENSION: u64 = 64;

/// How many bytes trailers may have.
const TRAILERS: usize = 8 * 1024;

/// Where in the coding a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size's digits: how many there were.
    Size { digits: u8 },
    /// In an extension.
    Extension { quoted: bool, escaped: bool },
    /// Behind the size line's carriage return.
    SizeEnd,
    /// In a chunk's data.
    Data,
    /// Behind the data.
    DataEnd,
    /// Behind the data's carriage return.
    DataEndLine,
    /// In the trailers, or at the last line.
    Trailers,
    /// Behind everything.
    Done,
}

/// Reads the chunked coding.
#[derive(Clone, Debug)]
pub(crate) struct Chunked {
    state: State,
    /// The chunk's size; in its data, what is left of it.
    left: u64,
    /// Bytes of the size line so far.
    line: u32,
    /// Bytes of extensions so far.
    extensions: u64,
    /// Bytes of data so far.
    data: u64,
    trailers: Vec<u8>,
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size { digits: 0 },
            left: 0,
            line: 0,
            extensions: 0,
            data: 0,
            trailers: Vec::new(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer fields that may stand there, each with its line end, once the body is done.
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    /// Reads on to the next piece of data: how many bytes were read, and how many of them, at
    /// the end, are data.
    pub(crate) fn read(&mut self, input: &[u8]) -> Result<(usize, usize), Refusal> {
        let mut at = 0;
        if self.state == State::DataEnd {
            at = self.begin_at_once(input).unwrap_or(0);
        }
        while let Some(byte) = input.get(at) {
            match self.state {
                State::Done => break,
                State::Data => {
                    let rest = input.len() - at;
                    let data = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                    self.left -= data as u64;
                    self.data += data as u64;
                    if self.left == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok((at + data, data));
                }
                State::Trailers => {
                    at += self.read_trailers(input.get(at..).unwrap_or(&[]))?;
                    continue;
                }
                _ => self.read_byte(*byte)?,
            }
            at += 1;
        }
        Ok((at, 0))
    }

    /// Reads from the end of a chunk's data to the begin of the next one's, where all of that has come and
    /// the size stands alone; where the data begins. Small chunks are mostly that, and byte by byte it
    /// would take three times as long.
    fn begin_at_once(&mut self, input: &[u8]) -> Option<usize> {
        let line = input.strip_prefix(b"\r\n")?;
        let mut size = 0;
        for (digits, byte) in line.iter().take(SHORT + 1).enumerate() {
            if let Some(digit) = char::from(*byte).to_digit(16) {
                size = size << 4 | u64::from(digit);
            } else {
                let ends = digits > 0 && line.get(digits..)?.starts_with(b"\r\n");
                if !ends || size == 0 {
                    return None;
                }
                self.left = size;
                self.line = 0;
                self.state = State::Data;
                return Some(2 + digits + 2);
            }
        }
        None
    }

    fn read_byte(&mut self, byte: u8) -> Result<(), Refusal> {
        self.state = match self.state {
            State::Size { digits } => {
                self.count()?;
                match (char::from(byte).to_digit(16), byte) {
                    (Some(digit), _) if digits < 16 => {
                        self.left = self.left << 4 | u64::from(digit);
                        State::Size { digits: digits + 1 }
                    }
                    (Some(_), _) => return Err(Refusal::Malformed("a chunk's size is too large")),
                    (None, b'\r') if digits > 0 => State::SizeEnd,
                    (None, b';') if digits > 0 => State::Extension {
                        quoted: false,
                        escaped: false,
                    },
                    _ => return Err(Refusal::Malformed("a chunk's size is not a number")),
                }
            }
            State::Extension { quoted, escaped } => {
                self.count()?;
                self.extensions += 1;
                if self.extensions > EXTENSIONS + self.data / DATA_FOR_EXTENSION {
                    return Err(Refusal::Malformed("a body's chunk extensions are too long"));
                }
                extension(byte, quoted, escaped)?
            }
            State::SizeEnd => {
                expect(byte, b'\n')?;
                self.line = 0;
                if self.left == 0 {
                    State::Trailers
                } else {
                    State::Data
                }
            }
            State::DataEnd => {
                expect(byte, b'\r')?;
                State::DataEndLine
            }
            State::DataEndLine => {
                expect(byte, b'\n')?;
                State::Size { digits: 0 }
            }
            State::Data | State::Trailers | State::Done => self.state,
        };
        Ok(())
    }

    fn count(&mut self) -> Result<(), Refusal> {
        self.line += 1;
        if self.line > LONGEST_LINE {
            return Err(Refusal::Malformed("a chunk's extensions are too long"));
        }
        Ok(())
    }

    /// Reads trailers; how many bytes of `input`.
    fn read_trailers(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let line_end = memchr::memchr(b'\n', input);
        let read = line_end.map_or(input.len(), |at| at + 1);
        if self.trailers.len() + read > TRAILERS {
            return Err(Refusal::HeadTooLarge("the trailers are too large"));
        }
        self.trailers
            .extend_from_slice(input.get(..read).unwrap_or(&[]));
        if line_end.is_none() {
            return Ok(read);
        }
        if !self.trailers.ends_with(b"\r\n") {
            return Err(Refusal::Malformed("a line ends without a carriage return"));
        }
        let before = self.trailers.len() - 2;
        if before == 0
            || self
                .trailers
                .get(..before)
                .is_some_and(|t| t.ends_with(b"\r\n"))
        {
            self.trailers = read_trailers(&self.trailers)?;
            self.state = State::Done;
        }
        Ok(read)
    }
}

fn expect(byte: u8, wanted: u8) -> Result<(), Refusal> {
    if byte == wanted {
        Ok(())
    } else {
        Err(Refusal::Malformed(
            "a chunk does not end where its size says",
        ))
    }
}

/// One byte of an extension. What they mean nobody knows; that no line end hides in them matters.
fn extension(byte: u8, quoted: bool, escaped: bool) -> Result<State, Refusal> {
    let bad = Err(Refusal::Malformed("a chunk's extension is malformed"));
    match byte {
        b'\r' if !quoted => Ok(State::SizeEnd),
        b'\t' | b' '..=b'~' | 0x80.. if quoted => Ok(State::Extension {
            quoted: escaped || byte != b'"',
            escaped: byte == b'\\' && !escaped,
        }),
        b'"' => Ok(State::Extension {
            quoted: true,
            escaped: false,
        }),
        b';' | b'=' => Ok(State::Extension {
            quoted: false,
            escaped: false,
        }),
        _ if is_token(byte) => Ok(State::Extension {
            quoted: false,
            escaped: false,
        }),
        _ => bad,
    }
}

/// Takes trailers apart, and writes anew what may be passed on of them.
fn read_trailers(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS];
    match httparse::parse_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete((len, fields))) if len == bytes.len() => {
            let mut kept = Vec::new();
            for field in fields.iter().filter(|field| may_trail(field.name)) {
                for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
                    kept.extend_from_slice(part);
                }
            }
            Ok(kept)
        }
        Err(httparse::Error::TooManyHeaders) => {
            Err(Refusal::HeadTooLarge("there are too many trailers"))
        }
        _ => Err(Refusal::Malformed("the trailers are malformed")),
    }
}
