//! The PROXY protocol, versions 1 and 2: what a balancer before us says of the client, in front
//! of everything else. After HAProxy's `doc/proxy-protocol.txt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::Refusal;

/// What was found at the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// More of it has to come.
    Incomplete,
    /// It is so many bytes long, and names the client; `None` where the balancer speaks for
    /// itself (a health check), or of something other than TCP.
    Complete(usize, Option<SocketAddr>),
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest first version, by its specification.
const LONGEST_V1: usize = 107;

/// The longest second version that is read; addresses take 36 bytes, the rest is extensions.
const LONGEST_V2: usize = 4096;

/// Reads the header that the connection must begin with.
///
/// # Errors
/// If there is none, or it is malformed.
pub fn read_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, Refusal> {
    let begins = |with: &[u8]| {
        let len = bytes.len().min(with.len());
        bytes.get(..len) == with.get(..len)
    };
    if begins(SIGNATURE) {
        if bytes.len() < 16 {
            return Ok(ProxyHeader::Incomplete);
        }
        read_v2(bytes)
    } else if begins(b"PROXY ") {
        read_v1(bytes)
    } else {
        Err(Refusal::Malformed("the PROXY header is missing"))
    }
}

const MALFORMED: Refusal = Refusal::Malformed("the PROXY header is malformed");

fn read_v1(bytes: &[u8]) -> Result<ProxyHeader, Refusal> {
    let beginning = bytes.get(..bytes.len().min(LONGEST_V1)).unwrap_or(&[]);
    let Some(end) = memchr::memchr(b'\n', beginning) else {
        return if beginning.len() < LONGEST_V1 {
            Ok(ProxyHeader::Incomplete)
        } else {
            Err(MALFORMED)
        };
    };
    let line = beginning
        .get(..end)
        .and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.ok_or(MALFORMED)?.split(' ').skip(1);
    let mut word = || words.next().ok_or(MALFORMED);
    let kind = word()?;
    if kind == "UNKNOWN" {
        return Ok(ProxyHeader::Complete(end + 1, None));
    }
    let (source, destination, port, to_port) = (word()?, word()?, word()?, word()?);
    let address = |word: &str| {
        let is_right = |address: &IpAddr| match kind {
            "TCP4" => address.is_ipv4(),
            "TCP6" => address.is_ipv6(),
            _ => false,
        };
        word.parse().ok().filter(is_right).ok_or(MALFORMED)
    };
    let number = |word: &str| {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        let number = word.parse().ok().filter(|_: &u16| is_number);
        number.ok_or(MALFORMED)
    };
    let (source, port) = (address(source)?, number(port)?);
    address(destination)?;
    number(to_port)?;
    if word().is_ok() {
        return Err(MALFORMED);
    }
    Ok(ProxyHeader::Complete(
        end + 1,
        Some(SocketAddr::new(source, port)),
    ))
}

fn read_v2(bytes: &[u8]) -> Result<ProxyHeader, Refusal> {
    let [command, family, high, low] = *bytes
        .get(SIGNATURE.len()..)
        .and_then(|rest| rest.first_chunk())
        .ok_or(MALFORMED)?;
    let len = 16 + usize::from(u16::from_be_bytes([high, low]));
    if len > LONGEST_V2 {
        return Err(MALFORMED);
    }
    let Some(rest) = bytes.get(16..len) else {
        return Ok(ProxyHeader::Incomplete);
    };
    let port = |at: usize| {
        let port = rest.get(at..).and_then(|rest| rest.first_chunk());
        port.map(|port| u16::from_be_bytes(*port)).ok_or(MALFORMED)
    };
    let client = match (command, family) {
        // The balancer itself.
        (0x20, _) => None,
        (0x21, 0x11) => {
            let ip: [u8; 4] = *rest.first_chunk().ok_or(MALFORMED)?;
            Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port(8)?))
        }
        (0x21, 0x21) => {
            let ip: [u8; 16] = *rest.first_chunk().ok_or(MALFORMED)?;
            Some(SocketAddr::new(Ipv6Addr::from(ip).into(), port(32)?))
        }
        (0x21, _) => None,
        _ => return Err(MALFORMED),
    };
    Ok(ProxyHeader::Complete(len, client))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(len: usize, client: &str) -> Result<ProxyHeader, Refusal> {
        Ok(ProxyHeader::Complete(len, client.parse().ok()))
    }

    #[test]
    fn the_first_version_is_a_line() {
        let read = |text: &str| read_proxy_header(text.as_bytes());
        let line = "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
        assert_eq!(
            read(&format!("{line}GET")),
            complete(line.len(), "192.0.2.1:56324")
        );
        for len in 1..line.len() {
            assert_eq!(read(&line[..len]), Ok(ProxyHeader::Incomplete), "{len}");
        }
        assert_eq!(read("PROXY UNKNOWN ffff::1 x\r\n"), complete(25, ""));
        for bad in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 ::1 ::2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP9 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 ::2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 x 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 x\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&format!("PROXY TCP4 {}", "1".repeat(200))).is_err());
    }

    #[test]
    fn the_second_version_is_binary() {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([
            0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb,
        ]);
        for len in 1..bytes.len() {
            assert_eq!(
                read_proxy_header(&bytes[..len]),
                Ok(ProxyHeader::Incomplete)
            );
        }
        assert_eq!(read_proxy_header(&bytes), complete(28, "192.0.2.1:56324"));
        bytes[12] = 0x20;
        assert_eq!(read_proxy_header(&bytes), complete(28, ""));
        bytes[12] = 0x31;
        assert!(read_proxy_header(&bytes).is_err());
        bytes[12] = 0x21;
        bytes[15] = 3;
        assert!(read_proxy_header(&bytes).is_err());
        bytes[14] = 0xff;
        assert!(read_proxy_header(&bytes).is_err());
    }
}
