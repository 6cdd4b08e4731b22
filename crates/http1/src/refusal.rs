//! Why a request is refused, and what the client is told.

use std::io::Write;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It breaks the protocol; the words say how.
    Malformed(&'static str),
    /// What arrives is not HTTP at all.
    NotHttp,
    /// Its head, or its trailers, are larger than the limit, or have too many fields; the words say
    /// which.
    HeadTooLarge(&'static str),
    /// Its body is larger than the limit.
    BodyTooLarge,
    /// It did not arrive in time.
    TooSlow,
    /// CONNECT: there is no way through to anywhere else.
    Connect,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
    /// A version that is not spoken here.
    Version,
    /// The client has as many requests in progress as it may have.
    TooMany,
    /// The worker closed its connection before it had answered, or its answer cannot be passed on;
    /// the words say what was seen.
    BadWorker(&'static str),
    /// No worker was there in time, or too many requests wait for one.
    NoWorker,
    /// The worker did not answer in time.
    SlowWorker,
}

impl Refusal {
    /// The status code.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_) | Self::NotHttp => 400,
            Self::Connect => 405,
            Self::TooSlow => 408,
            Self::BodyTooLarge => 413,
            Self::TooMany => 429,
            Self::HeadTooLarge(_) => 431,
            Self::UnknownCoding => 501,
            Self::BadWorker(_) => 502,
            Self::NoWorker => 503,
            Self::SlowWorker => 504,
            Self::Version => 505,
        }
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::NotHttp => "Bad Request",
            Self::Connect => "Method Not Allowed",
            Self::TooSlow => "Request Timeout",
            Self::BodyTooLarge => "Content Too Large",
            Self::TooMany => "Too Many Requests",
            Self::HeadTooLarge(_) => "Request Header Fields Too Large",
            Self::UnknownCoding => "Not Implemented",
            Self::BadWorker(_) => "Bad Gateway",
            Self::NoWorker => "Service Unavailable",
            Self::SlowWorker => "Gateway Timeout",
            Self::Version => "HTTP Version Not Supported",
        }
    }

    /// What went wrong, in words for the client and the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed(how) | Self::HeadTooLarge(how) | Self::BadWorker(how) => how,
            Self::NotHttp => "this port speaks HTTP, and what arrived is something else",
            Self::Connect => "CONNECT is not possible here",
            Self::TooSlow => "the request did not arrive in time",
            Self::BodyTooLarge => "the request's body is too large",
            Self::TooMany => "too many requests of this client are in progress",
            Self::UnknownCoding => "the request's transfer coding is not known",
            Self::NoWorker => "no worker can take this request at the moment",
            Self::SlowWorker => "the worker did not take or answer the request in time",
            Self::Version => "only HTTP/1.0 and HTTP/1.1 are spoken here",
        }
    }

    /// Writes the whole response; how long its body is. With `keep_alive` the connection goes on
    /// after it; `head` tells that the request was HEAD, which gets no body.
    pub fn write(self, to: &mut Vec<u8>, id: u64, keep_alive: bool, head: bool) -> usize {
        let (status, phrase, reason) = (self.status(), self.phrase(), self.reason());
        // Writing to a vector does not fail.
        let _ = write!(
            to,
            "HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\nX-Request-Id: {id:016x}\r\n",
            reason.len() + 1
        );
        if matches!(self, Self::NoWorker | Self::TooMany) {
            to.extend_from_slice(b"Retry-After: 1\r\n");
        }
        if matches!(self, Self::Connect) {
            to.extend_from_slice(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n");
        }
        if !keep_alive {
            to.extend_from_slice(b"Connection: close\r\n");
        }
        to.extend_from_slice(b"\r\n");
        if head {
            return 0;
        }
        to.extend_from_slice(reason.as_bytes());
        to.push(b'\n');
        reason.len() + 1
    }
}
