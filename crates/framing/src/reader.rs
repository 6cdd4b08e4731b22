//! One direction of a connection: messages, one after the other.

use crate::Head;
use crate::chunked::{Chunked, Next};
use crate::fields::{self, Length};
use crate::line::{Line, START, Text, is_token};
use crate::repeat::Repeat;
use crate::scan::{self, Scan};

/// Where in a message a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before its first byte.
    Start,
    /// In the first line.
    First,
    /// In the fields.
    Fields,
    /// In a body of which as many bytes are left.
    Body,
    Chunked(Chunked),
}

/// Which kind of first line there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Request,
    Response,
}

/// What has been found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing yet.
    More,
    /// A head's end.
    Head,
    /// A body's end.
    End,
    /// What is not understood.
    Broken,
}

#[derive(Clone, Debug)]
pub(crate) struct Reader {
    place: Place,
    /// A carriage return was the last byte of a head.
    after_return: bool,
    line: Line,
    head: Head,
    left: u64,
    last: Repeat,
}

impl Reader {
    pub(crate) const fn new() -> Self {
        Self {
            place: Place::Start,
            after_return: false,
            line: Line::new(),
            head: Head::new(),
            left: 0,
            last: Repeat::new(),
        }
    }

    pub(crate) fn is_at_start(&self) -> bool {
        self.place == Place::Start
    }

    /// Whether this is the last plain message's head once more, with a body of the same length, as a whole; to be
    /// asked at the start of a message.
    #[inline]
    pub(crate) fn is_plain_repeat<S: Scan>(&mut self, bytes: &[u8]) -> bool {
        self.last.is_plain::<S>(bytes)
    }

    /// What the head says that has just ended.
    pub(crate) fn take_head(&mut self) -> Head {
        core::mem::replace(&mut self.head, Head::new())
    }

    /// A body follows. The place is [`Place::Start`], which an empty one leaves as it is.
    pub(crate) fn begin_body(&mut self, length: Length) {
        match length {
            Length::Bytes(left) if left > 0 => {
                self.left = left;
                self.place = Place::Body;
            }
            Length::Chunked => self.place = Place::Chunked(Chunked::Size(0)),
            _ => {}
        }
    }

    /// Reads on: how many bytes, and what they came to.
    #[inline]
    pub(crate) fn read<S: Scan>(&mut self, bytes: &[u8], first: First) -> (usize, Step) {
        match self.place {
            Place::Start => match self.last.head::<S>(bytes) {
                Some((len, head)) => {
                    self.head = head;
                    (len, Step::Head)
                }
                None => {
                    self.place = Place::First;
                    self.read_head::<S>(bytes, first)
                }
            },
            Place::First | Place::Fields => self.read_head::<S>(bytes, first),
            Place::Body => {
                let read = usize::try_from(self.left).map_or(bytes.len(), |it| it.min(bytes.len()));
                (read, self.pass(read as u64))
            }
            Place::Chunked(_) => self.read_chunked(bytes),
        }
    }

    /// As many bytes of a body; `None` if they are not all of one piece of it.
    pub(crate) fn skip(&mut self, count: u64) -> Option<Step> {
        let within = match self.place {
            Place::Body | Place::Chunked(Chunked::Data) => count <= self.left,
            Place::Start | Place::First | Place::Fields | Place::Chunked(_) => false,
        };
        within.then(|| self.pass(count))
    }

    /// As many bytes of data have passed; there are no fewer left.
    fn pass(&mut self, count: u64) -> Step {
        self.left -= count;
        match self.place {
            _ if self.left > 0 => Step::More,
            Place::Chunked(_) => {
                self.place = Place::Chunked(Chunked::DataEnd);
                Step::More
            }
            _ => {
                self.place = Place::Start;
                Step::End
            }
        }
    }

    fn read_chunked(&mut self, bytes: &[u8]) -> (usize, Step) {
        let mut read = 0;
        while let (Place::Chunked(at), Some(byte)) = (self.place, bytes.get(read)) {
            if at == Chunked::Data {
                let rest = bytes.len() - read;
                let data = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                self.pass(data as u64);
                read += data;
                continue;
            }
            read += 1;
            match at.byte(*byte, &mut self.left) {
                Next::At(at) => self.place = Place::Chunked(at),
                Next::Done => {
                    self.place = Place::Start;
                    return (read, Step::End);
                }
                Next::Broken => return (read, Step::Broken),
            }
        }
        (read, Step::More)
    }

    /// Reads on in a head, up to its end.
    fn read_head<S: Scan>(&mut self, bytes: &[u8], first: First) -> (usize, Step) {
        if self.after_return || !self.line.is_empty() {
            return self.read_pieces::<S>(bytes, first);
        }
        // The usual case: the lines are here as a whole.
        let mut read = 0;
        let mut begin = 0;
        let mut fields = None;
        while let Some(mut controls) = scan::controls::<S>(bytes, begin) {
            while controls != 0 {
                let bit = controls.trailing_zeros();
                let at = begin + bit as usize;
                controls &= controls - 1;
                match bytes.get(at..) {
                    // Its second byte is none to look at again.
                    Some([b'\r', b'\n', ..]) => controls &= !(2 << bit),
                    Some([b'\n', ..]) if at < read => continue,
                    Some([b'\t', ..]) => continue,
                    _ => return self.read_rest::<S>(bytes, read, first),
                }
                let line = bytes.get(read..at).unwrap_or(&[]);
                read = at + 2;
                if self.place == Place::Fields && fields::is_plain(line) {
                    continue;
                }
                let is_first = self.place == Place::First;
                match self.end_line(Text::whole(line), first) {
                    Step::More if is_first && self.place == Place::Fields => {
                        let rest = bytes.get(read..).unwrap_or(&[]);
                        if let Some((len, said)) = self.last.fields::<S>(rest) {
                            self.head.fields = said;
                            self.place = Place::Start;
                            return (read + len, Step::Head);
                        }
                        fields = Some(read);
                    }
                    Step::More => {}
                    step => {
                        if let (Some(fields), Step::Head) = (fields, step) {
                            let text = bytes.get(..read).unwrap_or(&[]);
                            self.last.note(text, fields, self.head);
                        }
                        return (read, step);
                    }
                }
            }
            begin += scan::PART;
        }
        self.read_rest::<S>(bytes, read, first)
    }

    /// Reads on from there, in what is no whole line.
    fn read_rest<S: Scan>(&mut self, bytes: &[u8], from: usize, first: First) -> (usize, Step) {
        let rest = bytes.get(from..).unwrap_or(&[]);
        let (more, step) = self.read_pieces::<S>(rest, first);
        (from + more, step)
    }

    /// Reads lines that arrive in pieces, up to the head's end.
    fn read_pieces<S: Scan>(&mut self, bytes: &[u8], first: First) -> (usize, Step) {
        let mut read = 0;
        loop {
            let rest = bytes.get(read..).unwrap_or(&[]);
            if self.after_return {
                match rest.first() {
                    None => return (read, Step::More),
                    Some(b'\n') => read += 1,
                    Some(_) => return (read, Step::Broken),
                }
                self.after_return = false;
                let line = self.line;
                self.line.clear();
                match self.end_line(line.text(), first) {
                    Step::More => continue,
                    step => return (read, step),
                }
            }
            let Some(at) = scan::control::<S>(rest) else {
                let fits = self.line.add(rest);
                return (bytes.len(), if fits { Step::More } else { Step::Broken });
            };
            let (line, end) = rest.split_at(at);
            if end.first() != Some(&b'\r') || !self.line.add(line) {
                return (read, Step::Broken);
            }
            read += at + 1;
            self.after_return = true;
        }
    }

    fn end_line(&mut self, line: Text<'_>, first: First) -> Step {
        let good = match (self.place, first) {
            (Place::Fields, _) if line.len == 0 => {
                self.place = Place::Start;
                return Step::Head;
            }
            (Place::Fields, _) => self.head.fields.add(line),
            // An empty line before a request is no part of it: RFC 9112, 2.2.
            (_, First::Request) if line.len == 0 => return Step::More,
            (_, First::Request) => self.request_line(line),
            (_, First::Response) => self.status_line(line),
        };
        if !good {
            return Step::Broken;
        }
        self.place = Place::Fields;
        Step::More
    }

    fn request_line(&mut self, line: Text<'_>) -> bool {
        let method = match line.start {
            // What is said most.
            [b'G', b'E', b'T', b' ', ..] => Some(3),
            others => others.iter().position(|byte| !is_token(*byte)),
        };
        let method = method.filter(|at| *at < START);
        let Some((method, [b' ', ..])) = method.and_then(|at| line.start.split_at_checked(at))
        else {
            return false;
        };
        self.head.is_head = method == b"HEAD";
        self.head.is_connect = method == b"CONNECT";
        self.head.version = match line.tail() {
            b" HTTP/1.1" => 1,
            b" HTTP/1.0" => 0,
            _ => return false,
        };
        !method.is_empty()
    }

    fn status_line(&mut self, line: Text<'_>) -> bool {
        let [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            version @ (b'0' | b'1'),
            b' ',
            status @ ..,
        ] = line.start
        else {
            return false;
        };
        let ([a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'], b"" | [b' ', ..]) = (
            status.get(..3).unwrap_or(&[]),
            status.get(3..).unwrap_or(&[]),
        ) else {
            return false;
        };
        self.head.version = version - b'0';
        self.head.status = [a, b, c]
            .iter()
            .fold(0, |status, digit| status * 10 + u16::from(**digit - b'0'));
        true
    }
}
