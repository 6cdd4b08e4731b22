//! Where an app's metrics are served.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kind::{Kind, number};

/// The address that serves metrics. A port alone is one of 127.0.0.1: nobody else reads metrics unless the config
/// says so. Records hold the address as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MetricsAddress(pub(crate) SocketAddr);

impl MetricsAddress {
    /// Port 0 is none that Prometheus could ask.
    fn parse(text: &str) -> Option<Self> {
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let address = text.parse().ok().or_else(|| text.parse().ok().map(local))?;
        (address.port() != 0).then_some(Self(address))
    }
}

impl TryFrom<String> for MetricsAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no address for metrics")
    }
}

impl From<MetricsAddress> for String {
    fn from(MetricsAddress(address): MetricsAddress) -> Self {
        address.to_string()
    }
}

impl Kind for MetricsAddress {
    const EXPECTS: &'static str =
        "an IP address with a port, as in \"127.0.0.1:9616\", or a port (1 to 65535)";

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": u16::MAX },
            { "type": "string", "pattern": "^([0-9]+|.+:[0-9]+)$" },
        ] })
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse(text),
            _ => Self::parse(&number::<u16>(value)?.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_or_is_one() {
        for (value, address) in [
            (json!("127.0.0.1:9616"), Some("127.0.0.1:9616")),
            (json!("0.0.0.0:9616"), Some("0.0.0.0:9616")),
            (json!("[::1]:9616"), Some("[::1]:9616")),
            (json!("9616"), Some("127.0.0.1:9616")),
            (json!(9616), Some("127.0.0.1:9616")),
            (json!("0"), None),
            (json!(0), None),
            (json!(-1), None),
            (json!(9616.5), None),
            (json!(65536), None),
            (json!(true), None),
            (json!("127.0.0.1:0"), None),
            (json!("127.0.0.1"), None),
            (json!("localhost:9616"), None),
            (json!("65536"), None),
            (json!(""), None),
        ] {
            let read = MetricsAddress::read(&value).map(String::from);
            assert_eq!(read.as_deref(), address, "{value}");
        }
    }
}
