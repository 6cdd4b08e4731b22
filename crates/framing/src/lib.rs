//! Follows one HTTP/1.x connection from the bytes that a server reads and writes, and answers one
//! question: is a request in progress?
//!
//! The preload library moves a connection to another worker only while it is [`Seen::Idle`]. So the
//! answer errs to one side only: what is not understood, or can be read in two ways, makes the
//! connection [`Seen::Opaque`] for good. Nothing is repaired, and nothing is allocated.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
// A loop must not become a call to the strlen or memcpy of the program that the library is in.
#![no_builtins]

mod chunked;
mod fields;
mod line;
mod reader;
mod repeat;
mod scan;

use fields::{Fields, Length};
use reader::{First, Reader, Step};

pub use scan::{Portable, Scan};

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Each request has been read and answered to its last byte, and no other has begun.
    Idle,
    /// A request or a response is in progress, or the connection closes after the last one.
    Busy,
    /// What goes over it is not understood.
    Opaque,
}

/// How many requests may be unanswered at a time: a bit for each.
const PIPELINED: u32 = 64;

/// How far a connection's exchanges have come: whether what follows may be the last message once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchange {
    /// None is in progress: as [`Seen::Idle`].
    Between,
    /// One request has been read whole and nothing of its answer written, and neither is HEAD or of HTTP/1.0.
    Asked,
    /// Anything else.
    Other,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Follows from what is below.
    exchange: Exchange,
    request: Reader,
    response: Reader,
    /// A bit for each unanswered request, the oldest lowest: whether it is a HEAD.
    heads: u64,
    /// The same: whether an HTTP/1.0 client asks for the connection to be kept.
    old: u64,
    unanswered: u32,
    /// One side has said that the connection ends with this exchange.
    closes: bool,
    opaque: bool,
}

impl Connection {
    /// A connection at its beginning, or between two requests.
    pub const fn new() -> Self {
        Self {
            exchange: Exchange::Between,
            request: Reader::new(),
            response: Reader::new(),
            heads: 0,
            old: 0,
            unanswered: 0,
            closes: false,
            opaque: false,
        }
    }

    /// How the connection stands.
    #[inline]
    pub fn seen(&self) -> Seen {
        match self.exchange {
            Exchange::Between => Seen::Idle,
            Exchange::Other if self.opaque => Seen::Opaque,
            Exchange::Asked | Exchange::Other => Seen::Busy,
        }
    }

    /// Notes where the exchanges stand, after something was read or written.
    fn settle(&mut self) {
        let is_between = self.request.is_at_start() && self.response.is_at_start();
        self.exchange = match self.unanswered {
            _ if self.opaque || self.closes || !is_between => Exchange::Other,
            0 => Exchange::Between,
            1 if (self.heads | self.old) & 1 == 0 => Exchange::Asked,
            _ => Exchange::Other,
        };
    }

    /// Something has happened that is not understood.
    pub fn spoil(&mut self) {
        self.opaque = true;
        self.settle();
    }

    /// The server has read these bytes.
    pub fn received(&mut self, bytes: &[u8]) {
        self.received_by::<Portable>(bytes);
    }

    /// The server has written these bytes.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.sent_by::<Portable>(bytes);
    }

    /// As [`received`](Self::received), with another way to scan.
    #[inline]
    pub fn received_by<S: Scan>(&mut self, bytes: &[u8]) {
        if !self.received_again::<S>(bytes) {
            self.read_received::<S>(bytes);
        }
    }

    /// Whether the server has read the last request once more, as a whole and nothing else, between two exchanges: that is
    /// noted. Otherwise nothing is, and the caller goes on with [`received_by`](Self::received_by).
    #[inline]
    pub fn received_again<S: Scan>(&mut self, bytes: &[u8]) -> bool {
        let is_again =
            self.exchange == Exchange::Between && self.request.is_plain_repeat::<S>(bytes);
        if is_again {
            self.unanswered = 1;
            self.exchange = Exchange::Asked;
        }
        is_again
    }

    fn read_received<S: Scan>(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.opaque {
            let (read, step) = self.request.read::<S>(bytes, First::Request);
            bytes = bytes.get(read..).unwrap_or(&[]);
            match step {
                Step::More | Step::End => {}
                Step::Head => self.end_request_head(),
                Step::Broken => self.opaque = true,
            }
        }
        self.settle();
    }

    /// As [`sent`](Self::sent), with another way to scan.
    #[inline]
    pub fn sent_by<S: Scan>(&mut self, bytes: &[u8]) {
        if !self.sent_again::<S>(bytes) {
            self.read_sent::<S>(bytes);
            self.settle();
        }
    }

    /// Whether the server has answered the only request with the last answer's head and a body of the same length, as a whole
    /// and nothing else: that is noted. Otherwise nothing is, and the caller goes on with [`sent_by`](Self::sent_by).
    #[inline]
    pub fn sent_again<S: Scan>(&mut self, bytes: &[u8]) -> bool {
        let is_again =
            self.exchange == Exchange::Asked && self.response.is_plain_repeat::<S>(bytes);
        if is_again {
            self.unanswered = 0;
            self.exchange = Exchange::Between;
        }
        is_again
    }

    fn read_sent<S: Scan>(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.opaque {
            if self.unanswered == 0 {
                // An answer to nothing: the server speaks first, or refuses half a request.
                self.opaque = true;
                return;
            }
            let (read, step) = self.response.read::<S>(bytes, First::Response);
            bytes = bytes.get(read..).unwrap_or(&[]);
            match step {
                Step::More => {}
                Step::Head => self.end_response_head(),
                Step::End => self.answered(),
                Step::Broken => self.opaque = true,
            }
        }
    }

    /// The server has written as many bytes that cannot be looked at, out of a file.
    pub fn sent_unseen(&mut self, count: u64) {
        if self.opaque || count == 0 {
            return;
        }
        match self.response.skip(count) {
            Some(Step::End) => self.answered(),
            Some(_) => {}
            None => self.opaque = true,
        }
        self.settle();
    }

    fn end_request_head(&mut self) {
        let head = self.request.take_head();
        let fields = head.fields;
        let old = head.version == 0;
        let framing = match fields.length() {
            Length::None => Length::Bytes(0),
            Length::Chunked if old => Length::Unknown,
            other => other,
        };
        if self.unanswered == PIPELINED
            || head.is_connect
            || fields.upgrade
            || framing == Length::Unknown
        {
            self.opaque = true;
            return;
        }
        self.asked(head.is_head, old);
        self.closes |= fields.close || (old && !fields.keep_alive);
        self.request.begin_body(framing);
    }

    /// There is another unanswered request.
    fn asked(&mut self, is_head: bool, old: bool) {
        let bit = 1 << self.unanswered;
        set(&mut self.heads, bit, is_head);
        set(&mut self.old, bit, old);
        self.unanswered += 1;
    }

    fn end_response_head(&mut self) {
        let head = self.response.take_head();
        let fields = head.fields;
        if head.status == 101 {
            self.opaque = true;
            return;
        }
        if head.status < 200 {
            // Another head follows.
            return;
        }
        let is_old = self.old & 1 != 0;
        self.closes |= fields.close || ((is_old || head.version == 0) && !fields.keep_alive);
        if self.heads & 1 != 0 || head.status == 204 || head.status == 304 {
            self.answered();
            return;
        }
        match fields.length() {
            // Until the connection ends.
            Length::None | Length::Unknown => self.opaque = true,
            Length::Chunked if head.version == 0 || is_old => self.opaque = true,
            Length::Bytes(0) => self.answered(),
            length => self.response.begin_body(length),
        }
    }

    fn answered(&mut self) {
        self.heads >>= 1;
        self.old >>= 1;
        self.unanswered = self.unanswered.saturating_sub(1);
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

fn set(bits: &mut u64, bit: u64, on: bool) {
    if on {
        *bits |= bit;
    } else {
        *bits &= !bit;
    }
}

/// What the head of a message comes to.
#[derive(Clone, Copy, Debug)]
struct Head {
    /// The last digit of HTTP/1.x.
    version: u8,
    /// Of a response.
    status: u16,
    is_head: bool,
    is_connect: bool,
    fields: Fields,
}

impl Head {
    /// The length of the body, if that is all that the head says: the connection goes on after it as before.
    fn plain_length(&self) -> Option<u64> {
        let fields = &self.fields;
        let is_plain = self.version == 1 && !fields.close && !fields.upgrade && !self.is_connect;
        let length = match (self.status, fields.length()) {
            (0, Length::None) if !self.is_head => 0,
            (200.., Length::Bytes(length)) if self.status != 204 && self.status != 304 => length,
            _ => return None,
        };
        is_plain.then_some(length)
    }

    const fn new() -> Self {
        Self {
            version: 0,
            status: 0,
            is_head: false,
            is_connect: false,
            fields: Fields::new(),
        }
    }
}
