//! Workers that do not speak HTTP.

/// What a worker speaks whose response does not begin as one of HTTP does. Seen at once: the end of
/// a head would be waited for in vain.
pub(super) fn other_protocol(response: &[u8]) -> Option<&'static str> {
    const BEGINNING: &[u8] = b"HTTP/";
    match response {
        // The head of a record: its kind, and the version.
        [0x14..=0x17, 3, ..] => Some(
            "the worker answered in TLS; per: request needs plain HTTP from it: set tls_cert and \
             tls_key instead of TLS in the app, or use per: connection",
        ),
        _ if response.iter().zip(BEGINNING).all(|(a, b)| a == b) => None,
        _ => Some(
            "the worker answered in a protocol that is not HTTP; per: connection passes any protocol",
        ),
    }
}
