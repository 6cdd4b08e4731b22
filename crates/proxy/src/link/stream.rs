//! What reading and writing bring, and a stream that takes the place of a socket.

use std::fmt;

/// The other side is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// This many bytes.
    Some(usize),
    /// Nothing, for now.
    Nothing,
    /// The other side sends no more.
    End,
    /// The connection is broken.
    Broken,
}

/// A stream within another connection, in the place of a socket.
pub(crate) trait Stream: fmt::Debug + Send {
    /// Whether TLS protects what is said.
    fn is_tls(&self) -> bool;

    /// Reads into `buffer`.
    fn read(&mut self, buffer: &mut [u8]) -> Read;

    /// Writes two runs of bytes, one behind the other; how much was taken.
    fn write(&mut self, first: &[u8], second: &[u8]) -> Result<usize, Gone>;

    /// Finds out whether the other side is still there.
    fn check(&mut self) -> Result<(), Gone>;

    /// Notes the fields that follow what is sent, each with its line end.
    fn set_trailers(&mut self, fields: &[u8]);

    /// Tells the other side that no more will come.
    fn finish_sending(&mut self);

    /// Tells the other side that what was sent is not all, and never will be.
    fn reset(&mut self);
}
