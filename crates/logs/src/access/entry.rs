//! What is known of a request when it is over.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use telemetry::ids::Instance;

/// So much of a text is kept: entries wait in memory.
const LONGEST: usize = 2048;

/// What a client has written: any bytes. Of a long one only the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) is_cut: bool,
}

impl Text {
    pub fn of(bytes: &[u8]) -> Self {
        let is_cut = bytes.len() > LONGEST;
        Self {
            bytes: bytes.get(..LONGEST).unwrap_or(bytes).to_vec(),
            is_cut,
        }
    }
}

/// How a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The response was passed on whole.
    Answered,
    /// It became something else, a WebSocket for example, and that is over.
    Upgraded,
    /// The client has gone before that.
    Aborted,
    /// It was refused, or its response was cut off.
    Failed,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number, in hexadecimal in the log.
    pub id: u64,
    /// None over a Unix socket.
    pub client: Option<IpAddr>,
    /// When it was over.
    pub at: Timestamp,
    /// From its first byte to the last of its response.
    pub duration: Duration,
    /// The request line; of what was none, as much as came of it.
    pub line: Text,
    /// What the client was told; none if it had gone by then.
    pub status: Option<u16>,
    /// Bytes of the response's body that were passed on.
    pub bytes: u64,
    pub referer: Option<Text>,
    pub user_agent: Option<Text>,
    /// The instance that had it.
    pub instance: Option<Instance>,
    pub outcome: Outcome,
}
