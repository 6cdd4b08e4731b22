//! Pairs: connections that stand for a client's, over which single requests are forwarded.
//!
//! Both ends of such a Unix socket pair have names, and in each name lies the address that the
//! worker shall see there: so the kernel keeps it, and a worker that asks for its peer's address
//! gets the client's, however the descriptor reached it.

use crate::Address;

const NAME: &[u8] = b"maitred/pair/";

/// Longest address: `sockaddr_in6` has 28 bytes.
const MAX: usize = 28;

/// Bytes of the `sockaddr` that names one end of a pair: family, zero byte, prefix, 8 bytes of a
/// number, 8 random ones, length of the address, the address.
pub const PAIR_NAME_LEN: usize = 2 + 1 + NAME.len() + 8 + 8 + 1 + MAX;

/// The `sockaddr` that names the end number `id`, whose other side sees `address` there: a
/// `sockaddr` of up to 28 bytes; of a longer one only the family. `nonce` is random, so that no
/// other user of the machine can take the name first.
pub fn pair_name(id: u64, nonce: u64, address: &[u8]) -> [u8; PAIR_NAME_LEN] {
    let address = if address.len() > MAX {
        address.get(..2).unwrap_or(&[])
    } else {
        address
    };
    let mut name = [0; PAIR_NAME_LEN];
    let family = 1u16.to_ne_bytes();
    let bytes = family
        .iter()
        .chain(&[0])
        .chain(NAME)
        .copied()
        .chain(id.to_ne_bytes())
        .chain(nonce.to_ne_bytes())
        .chain([address.len() as u8])
        .chain(address.iter().copied());
    for (to, from) in name.iter_mut().zip(bytes) {
        *to = from;
    }
    name
}

/// The number and the address in the name of one end of a pair; `None` if it names something else.
pub fn pair_address(name: &[u8]) -> Option<(u64, Address)> {
    if name.len() != PAIR_NAME_LEN {
        return None;
    }
    let rest = name.get(2..)?.strip_prefix(&[0])?.strip_prefix(NAME)?;
    let id = u64::from_ne_bytes(*rest.first_chunk()?);
    let (len, address) = rest.get(16..)?.split_first()?;
    let address = Address::new(address.get(..usize::from(*len))?)?;
    Some((id, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_carries_an_address() {
        for address in [
            &b"\x02\0\x15\xb3\x7f\0\0\x01\0\0\0\0\0\0\0\0"[..],
            &[7; 28],
            &[1, 0],
        ] {
            let (id, read) = pair_address(&pair_name(7, 9, address)).unwrap();
            assert_eq!((id, read.as_bytes()), (7, address));
        }
        let (_, long) = pair_address(&pair_name(u64::MAX, 0, &[9; 40])).unwrap();
        assert_eq!(long.as_bytes(), &[9, 9]);
    }

    #[test]
    fn other_names_are_not_taken_for_one() {
        assert!(pair_address(&[]).is_none());
        assert!(pair_address(&[0; PAIR_NAME_LEN]).is_none());
        let mut bad = pair_name(1, 2, &[1, 0]);
        bad[32] = 29;
        assert!(pair_address(&bad).is_none());
    }
}
