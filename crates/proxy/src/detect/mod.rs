//! What is spoken at a listener: HTTP, as it should be, or something else.
//!
//! Until a worker has answered in HTTP there, nothing is taken for granted. A connection on which a
//! client says nothing goes to a worker after a moment, for in some protocols the server speaks
//! first ([`worker_first`]). And a worker that closes its connection without an answer is greeted in
//! TLS over another one, since TLS servers close on plain HTTP without a word ([`tls_greeting`]).

pub(crate) mod foreign;
pub(crate) mod tls_greeting;
pub(crate) mod worker_first;

use telemetry::figures::Foreign;

/// What was seen of a worker that did not answer.
pub(crate) const NO_ANSWER: &str = "the worker closed its connection before it had answered";

/// What is spoken at a listener, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    Unknown {
        /// How often a worker was waited for to speak first.
        tries: u8,
        /// One is waited for.
        listens: bool,
        /// One was greeted in TLS.
        greeted: bool,
    },
    Http,
    Foreign(Foreign),
}

impl Spoken {
    pub(crate) const UNKNOWN: Self = Self::Unknown {
        tries: 0,
        listens: false,
        greeted: false,
    };

    /// Why a worker may have ended its connection without an answer.
    pub(crate) fn no_answer(self) -> &'static str {
        match self {
            Self::Foreign(Foreign::Tls) => reason(Foreign::Tls),
            _ => NO_ANSWER,
        }
    }
}

/// What the client of such a worker is answered.
pub(crate) fn reason(what: Foreign) -> &'static str {
    match what {
        Foreign::Tls => "the worker speaks TLS, and not HTTP",
        Foreign::Other | Foreign::WorkerFirst => {
            "the worker answered in a protocol that is not HTTP"
        }
    }
}

/// What a worker speaks whose response does not begin as one of HTTP does. Seen at once: the end of
/// a head would be waited for in vain.
pub(crate) fn other_protocol(response: &[u8]) -> Option<Foreign> {
    match response {
        // The head of a record: its kind, and the version.
        [0x14..=0x17, 3, ..] => Some(Foreign::Tls),
        _ if begins_as_http(response) => None,
        _ => Some(Foreign::Other),
    }
}

fn begins_as_http(response: &[u8]) -> bool {
    response.iter().zip(b"HTTP/").all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_known_by_its_first_bytes() {
        for (response, spoken) in [
            (&b"HTTP/1.1 200 OK"[..], None),
            (b"HT", None),
            (b"", None),
            (b"\x15\x03\x01", Some(Foreign::Tls)),
            (b"\x16\x03\x03", Some(Foreign::Tls)),
            (b"220 mail", Some(Foreign::Other)),
        ] {
            assert_eq!(other_protocol(response), spoken);
        }
    }
}
