//! Clients, as far as they concern the choice, and which member a client belongs to.

use std::net::IpAddr;

/// Where a connection comes from, as a number that is the same for the same client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(u64);

impl Client {
    /// The client at this address. An IPv4-mapped IPv6 address counts as IPv4; of an IPv6 address
    /// the first 64 bits count, for one host changes the others at will.
    pub fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => mix((u128::from(v6) >> 64) as u64),
        })
    }

    /// A client without an address, told from others by a number of its connection.
    pub fn unknown(number: u64) -> Self {
        Self(mix(number))
    }

    /// How well the client and the member of this key suit each other. Each client belongs to the
    /// member with its highest score; so, when a member goes, only its clients move, and when one
    /// comes, it takes an equal share from every other.
    ///
    /// Rendezvous hashing: Thaler and Ravishankar, Using Name-Based Mappings to Increase Hit
    /// Rates, 1998.
    pub(crate) fn score(self, key: u64) -> u64 {
        mix(mix(self.0) ^ mix(key ^ 0x6d61_6974_7265_6421))
    }
}

/// Spreads a number over all 64 bits: the finaliser of SplitMix64.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::at(text.parse().unwrap())
    }

    fn best(client: Client, keys: &[u64]) -> u64 {
        *keys.iter().max_by_key(|key| client.score(**key)).unwrap()
    }

    #[test]
    fn an_address_has_many_spellings() {
        assert_eq!(client("10.1.2.3"), client("::ffff:10.1.2.3"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:2"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_ne!(client("10.1.2.3"), client("10.1.2.4"));
    }

    #[test]
    fn clients_are_spread_evenly_and_few_move() {
        let clients: Vec<_> = (0..8000u32)
            .map(|n| Client::at(IpAddr::V4((0x0a00_0000 + n).into())))
            .collect();
        let four = [0, 1, 2, 3];
        for key in four {
            let share = clients.iter().filter(|it| best(**it, &four) == key).count();
            assert!((1800..2200).contains(&share), "{key}: {share}");
        }
        // The third goes: only its own clients move.
        let moved = clients
            .iter()
            .filter(|it| best(**it, &four) != 2 && best(**it, &four) != best(**it, &[0, 1, 3]));
        assert_eq!(moved.count(), 0);
        // A fifth comes: whoever moves, moves to it.
        let five = [0, 1, 2, 3, 4];
        let moved: Vec<_> = clients
            .iter()
            .filter(|it| best(**it, &four) != best(**it, &five))
            .collect();
        assert!((1400..1800).contains(&moved.len()), "{}", moved.len());
        assert!(moved.iter().all(|it| best(**it, &five) == 4));
    }
}
