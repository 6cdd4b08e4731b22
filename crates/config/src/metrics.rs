//! Where an app's metrics are served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::bail;

/// Reads the address; a port alone is one of 127.0.0.1, as what is measured is nobody else's
/// business unless somebody says so.
///
/// # Errors
/// If it is neither.
pub(super) fn metrics_address(text: &str) -> anyhow::Result<SocketAddr> {
    let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let address = text.parse().ok().or_else(|| text.parse().ok().map(local));
    match address {
        Some(address) if address.port() != 0 => Ok(address),
        Some(_) => bail!("metrics: port 0 is none that Prometheus could ask; choose another"),
        None => bail!(
            "metrics: expected an IP address with a port, as in \"127.0.0.1:9616\", or a port, \
             not {:?}",
            text.chars().take(40).collect::<String>()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_or_is_one() {
        for (text, address) in [
            ("127.0.0.1:9616", Some("127.0.0.1:9616")),
            ("0.0.0.0:9616", Some("0.0.0.0:9616")),
            ("[::1]:9616", Some("[::1]:9616")),
            ("9616", Some("127.0.0.1:9616")),
            ("0", None),
            ("127.0.0.1:0", None),
            ("127.0.0.1", None),
            ("localhost:9616", None),
            ("65536", None),
            ("", None),
        ] {
            let read = metrics_address(text).ok().map(|it| it.to_string());
            assert_eq!(read.as_deref(), address, "{text}");
        }
    }
}
