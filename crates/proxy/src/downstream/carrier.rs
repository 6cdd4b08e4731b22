//! What carries a client's requests, and all that differs by it between HTTP/1.1 and HTTP/2. No
//! other file asks.

use http1::{Framing, Version};

use super::http2::PREFACE;
use crate::link::Link;
use crate::slab::Key;

/// What carries a client's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A connection, for one request after the other (HTTP/1.1), for streams (HTTP/2), or for
    /// something else.
    Connection,
    /// A stream of this client's HTTP/2 connection, for one request.
    Stream(Key),
}

impl Carrier {
    /// The connection of the client that has this key itself.
    pub(crate) fn connection(self, own: Key) -> Key {
        match self {
            Self::Connection => own,
            Self::Stream(session) => session,
        }
    }

    /// The HTTP/2 connection that it is a stream of.
    pub(crate) fn session(self) -> Option<Key> {
        match self {
            Self::Connection => None,
            Self::Stream(session) => Some(session),
        }
    }

    /// Whether it is a connection by itself, with a descriptor, that may also pass whole.
    pub(crate) fn is_connection(self) -> bool {
        matches!(self, Self::Connection)
    }

    /// Whether another request may follow.
    pub(crate) fn has_next_request(self) -> bool {
        self.is_connection()
    }

    /// Whether its end can cut the last words off: a connection that is closed while something
    /// unread lies in it is reset.
    pub(crate) fn must_linger(self) -> bool {
        self.is_connection()
    }

    /// Whether a client of this version takes an ordinary end for the end of the response, so that
    /// a response that is cut needs a reset.
    pub(crate) fn cuts_by_reset(self, version: Version) -> bool {
        version == Version::Http10 || !self.is_connection()
    }

    /// How a response's body is framed. A stream has its own way to tell where a body ends.
    pub(crate) fn framing(self, framing: Framing) -> Framing {
        match (self, framing) {
            (Self::Stream(_), Framing::Chunked) => Framing::Close,
            (_, framing) => framing,
        }
    }

    /// The version for the log, where the request came in another one than its head says.
    pub(crate) fn logged_version(self) -> Option<&'static [u8]> {
        match self {
            Self::Connection => None,
            Self::Stream(_) => Some(b"HTTP/2.0"),
        }
    }

    /// Whether the client speaks HTTP/2 over this connection: where TLS has agreed on it, whatever
    /// comes; where it has not been asked, if the client begins so.
    pub(crate) fn begins_http2(self, link: &Link, bytes: &[u8]) -> bool {
        self.is_connection()
            && link
                .has_agreed_on_http2()
                .unwrap_or_else(|| bytes.starts_with(PREFACE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_and_a_stream_differ_in_these() {
        let (own, session) = (Key::of(1), Key::of(2));
        let reset = |carrier: Carrier| {
            [Version::Http10, Version::Http11].map(|version| carrier.cuts_by_reset(version))
        };
        let framing = |carrier: Carrier| {
            let framings = [Framing::Empty, Framing::Length(1), Framing::Chunked];
            framings.map(|framing| carrier.framing(framing))
        };
        let connection = Carrier::Connection;
        assert_eq!(connection.connection(own), own);
        assert_eq!(connection.session(), None);
        assert!(connection.has_next_request() && connection.must_linger());
        assert_eq!(reset(connection), [true, false]);
        assert_eq!(
            framing(connection),
            [Framing::Empty, Framing::Length(1), Framing::Chunked]
        );
        assert_eq!(connection.logged_version(), None);
        let stream = Carrier::Stream(session);
        assert_eq!(stream.connection(own), session);
        assert_eq!(stream.session(), Some(session));
        assert!(!stream.has_next_request() && !stream.must_linger());
        assert_eq!(reset(stream), [true, true]);
        assert_eq!(
            framing(stream),
            [Framing::Empty, Framing::Length(1), Framing::Close]
        );
        assert_eq!(stream.logged_version(), Some(&b"HTTP/2.0"[..]));
    }
}
