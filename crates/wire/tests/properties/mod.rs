//! What must hold of any bytes that arrive from another process. Each function takes some, and
//! panics where something does not hold; the seeded tests call them, and so do the fuzz targets.

use wire::{
    Address, Handoff, Moved, Reply, Request, channel_id, channel_name, pair_address, pair_name,
};

pub(crate) type Property = fn(&[u8]);

/// All of them, by name.
pub(crate) const ALL: [(&str, Property); 5] = [
    ("registrations", registrations),
    ("handoffs", handoffs),
    ("moved", moved),
    ("names", names),
    ("addresses", addresses),
];

/// A request or a reply that is understood says, written anew, the same.
pub(crate) fn registrations(bytes: &[u8]) {
    if let Some(request) = Request::decode(bytes) {
        assert_eq!(Request::decode(&request.encode()), Some(request));
        assert!(request.address.as_bytes().len() <= 110);
    }
    if let Some(reply) = Reply::decode(bytes) {
        assert_eq!(Reply::decode(&reply.encode()), Some(reply));
    }
}

/// So does what goes down a channel.
pub(crate) fn handoffs(bytes: &[u8]) {
    if let Some(message) = Handoff::decode(bytes) {
        let (again, len) = message.encode();
        assert_eq!(
            again.get(..len).and_then(Handoff::decode),
            Some(message),
            "written anew"
        );
    }
    let made = Handoff::connection(bytes);
    let (written, len) = made.encode();
    assert_eq!(written.get(..len).and_then(Handoff::decode), Some(made));
}

/// So does what a supervisor sends to its successor, which may be of another version; and nothing of what
/// follows a message is lost.
pub(crate) fn moved(bytes: &[u8]) {
    if let Some((message, behind)) = Moved::decode(bytes) {
        assert!(bytes.ends_with(behind));
        let (again, len) = message.encode();
        assert_eq!(len + behind.len(), bytes.len());
        let again = [again.get(..len).expect("a message has its length"), behind].concat();
        assert_eq!(Moved::decode(&again), Some((message, behind)));
    }
}

/// A name stands for one channel, or one end of a pair, and only its exact bytes do.
pub(crate) fn names(bytes: &[u8]) {
    if let Some(id) = channel_id(bytes) {
        let digits = std::str::from_utf8(&bytes[bytes.len() - 16..]).expect("digits are text");
        let nonce = u64::from_str_radix(digits, 16).expect("16 digits fit");
        assert_eq!(channel_name(id, nonce), bytes);
        assert!(pair_address(bytes).is_none());
    }
    if let Some((id, address)) = pair_address(bytes) {
        let again = pair_name(id, 0, address.as_bytes());
        let read = pair_address(&again).expect("a pair's name is read");
        assert_eq!(read.0, id);
        assert!(address.as_bytes().starts_with(read.1.as_bytes()));
    }
    let (number, address) = bytes.split_at(bytes.len().min(8));
    let id = number.iter().fold(0, |id, byte| id << 8 | u64::from(*byte));
    assert_eq!(channel_id(&channel_name(id, !id)), Some(id));
    let (read, shown) = pair_address(&pair_name(id, !id, address)).expect("a pair's name is read");
    assert_eq!(read, id);
    assert!(address.starts_with(shown.as_bytes()));
}

/// An address keeps all its bytes, or is none.
pub(crate) fn addresses(bytes: &[u8]) {
    match Address::new(bytes) {
        Some(address) => assert_eq!(address.as_bytes(), bytes),
        None => assert!(bytes.len() > 110),
    }
}
