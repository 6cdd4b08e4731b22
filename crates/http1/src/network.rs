//! Networks: which addresses are trusted.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv6Net};

/// The word for clients of Unix sockets.
const UNIX: &str = "unix";

/// How many bits an IPv4-mapped address has before the IPv4 address.
const MAPPED: u8 = 96;

/// Where clients come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// All addresses that share a prefix, IPv4 as IPv4-mapped: so dual-stack sockets report them.
    Addresses(Ipv6Net),
    /// Unix sockets, whose clients have no address.
    Unix,
}

impl Network {
    /// Whether the address is one of these.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        matches!(self, Self::Addresses(network) if network.contains(&address))
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, a single address, or `unix`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == UNIX {
            return Ok(Self::Unix);
        }
        let network = text
            .parse()
            .ok()
            .or_else(|| text.parse().ok().map(|address: IpAddr| address.into()))
            .and_then(mapped);
        network.map(Self::Addresses).ok_or_else(|| {
            format!("{text} is neither an address, nor a network such as 10.0.0.0/8, nor `{UNIX}`")
        })
    }
}

fn mapped(network: IpNet) -> Option<Ipv6Net> {
    match network {
        IpNet::V4(v4) => Ipv6Net::new(v4.addr().to_ipv6_mapped(), MAPPED + v4.prefix_len()).ok(),
        IpNet::V6(v6) => Some(v6),
    }
}

/// Some networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

impl Networks {
    /// Whether the address is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether a client is one of theirs; one without an address comes over a Unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(address) => self.contains(address),
            None => self.0.contains(&Network::Unix),
        }
    }
}

/// The address that a program wrote for one it has seen: `192.0.2.1`, `192.0.2.1:80`,
/// `2001:db8::1`, `[2001:db8::1]:80`.
pub(crate) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let address = text.strip_prefix('[')?.strip_suffix(']')?;
    address.parse().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_its_port() {
        for (text, read) in [
            ("192.0.2.1", Some("192.0.2.1")),
            (" 192.0.2.1:80 ", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:80", Some("2001:db8::1")),
            ("[2001:db8::1]x", None),
            ("192.0.2.1:x", None),
            ("unknown", None),
            ("", None),
        ] {
            let read: Option<IpAddr> = read.map(|read| read.parse().unwrap());
            assert_eq!(super::address(text.as_bytes()), read, "{text}");
        }
    }

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(network("10.0.0.0/8").contains(address("10.255.0.1")));
        assert!(network("10.0.0.0/8").contains(address("::ffff:10.1.1.1")));
        assert!(!network("10.0.0.0/8").contains(address("11.0.0.1")));
        assert!(network("0.0.0.0/0").contains(address("1.2.3.4")));
        assert!(!network("0.0.0.0/0").contains(address("2001:db8::1")));
        assert!(network("::/0").contains(address("1.2.3.4")));
        assert!(network("2001:db8::/32").contains(address("2001:db8:1::")));
        assert!(network("::ffff:10.0.0.0/104").contains(address("10.1.1.1")));
        assert!(network("10.9.9.9/8").contains(address("10.1.1.1")));
        assert!(network("127.0.0.1").contains(address("127.0.0.1")));
        assert!(!network("127.0.0.1").contains(address("127.0.0.2")));
        let unix = Networks(vec![network("unix")]);
        assert!(unix.trusts(None) && !unix.trusts(Some(address("127.0.0.1"))));
        let others = Networks(vec![network("::/0")]);
        assert!(!others.trusts(None) && others.trusts(Some(address("127.0.0.1"))));
        for bad in [
            "",
            "unix:",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "a",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "2001:db8::/",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
