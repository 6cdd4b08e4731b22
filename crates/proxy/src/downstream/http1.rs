//! Where the head of a request ends, and when it is taken up.

use http1::{End, Refusal};

use super::client::{Client, Phase, Reading, Step};
use crate::Workers;
use crate::context::Context;
use crate::exchange::begin;

const TOO_LARGE: &str = "the request's head is larger than max_head allows";

/// Why a request is not taken up, and how many bytes of it have been used.
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    pub(crate) used: usize,
}

/// Reads a request's head from the bytes received. Returns the outcome, and the number of bytes used.
pub(crate) fn read<W: Workers>(
    client: &mut Client,
    bytes: &[u8],
    cx: &mut Context,
    workers: &mut W,
) -> Result<(Step, usize), Refused> {
    let Phase::Reading(reading) = &mut client.phase else {
        return Ok((Step::Wait, 0));
    };
    if client.served
        && let Some(used) = skip_empty_line(reading, bytes)
    {
        return Ok((Step::On, used));
    }
    let end = match http1::find_end(bytes, reading.searched.saturating_sub(1)) {
        Ok(End::At(end)) if end <= cx.settings.head => end,
        Ok(End::Beyond(next)) if bytes.len() < cx.settings.head => {
            reading.searched = next.max(1);
            return Ok((Step::On, 0));
        }
        Ok(_) => return Err(Refusal::HeadTooLarge(TOO_LARGE).into()),
        Err(refusal) => return Err(refusal.into()),
    };
    begin::begin(client, bytes, end, cx, workers)
}

impl From<Refusal> for Refused {
    /// What could not be understood is for the log: nothing of it is used.
    fn from(refusal: Refusal) -> Self {
        Self { refusal, used: 0 }
    }
}

/// Passes over an empty line; how many bytes of it there are to be used. Old clients send one behind
/// a body (RFC 9112, 2.2). It belongs to no message, so one is passed over; more are refused, and
/// so is one before the first request.
fn skip_empty_line(reading: &mut Reading, bytes: &[u8]) -> Option<usize> {
    if reading.skipped || reading.searched > 1 || !matches!(bytes, b"\r" | [b'\r', b'\n', ..]) {
        return None;
    }
    let used = if bytes.len() == 1 { 0 } else { 2 };
    reading.skipped = used > 0;
    reading.searched = usize::from(used == 0);
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_empty_line_is_passed_over() {
        for (bytes, used, searched) in [
            (&b"\r\nGET"[..], Some(2), 0),
            (b"\r\n", Some(2), 0),
            // The other half is still to come.
            (b"\r", Some(0), 1),
            (b"\n", None, 0),
            (b"\rG", None, 0),
            (b"GET", None, 0),
        ] {
            let Phase::Reading(mut reading) = Phase::reading(0) else {
                panic!("a client reads first");
            };
            assert_eq!(skip_empty_line(&mut reading, bytes), used, "{bytes:?}");
            assert_eq!(reading.searched, searched, "{bytes:?}");
            if used == Some(2) {
                assert_eq!(skip_empty_line(&mut reading, bytes), None, "{bytes:?}");
            }
        }
    }
}
