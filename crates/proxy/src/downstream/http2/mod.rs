//! HTTP/2 towards clients. The crate `h2` speaks it, without a runtime: what it waits for calls a
//! [`waker`], and the client concerned is driven on. Each stream of a [`session`] becomes a client of
//! its own, which asks one thing in the words of HTTP/1.1 and closes: so requests of both versions
//! pass the same checks, limits and workers. (RFC 9113.)

mod flood;
mod message;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod stream;
mod transport;
pub(crate) mod waker;

pub(crate) use message::PREFACE;
