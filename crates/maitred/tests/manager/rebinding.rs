//! Web pages at the metrics endpoint.

use crate::harness::{beside_others, free_port};
use crate::home::{Home, NODE_SERVER};
use crate::metrics::ask_with;

/// A page whose name leads to this machine (DNS rebinding) reads nothing.
#[test]
fn a_loopback_address_answers_under_no_name_that_others_can_make_up() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.js", NODE_SERVER);
    let port = free_port();
    home.does(&["start", "app.js", "--metrics", &port.to_string()]);
    for (fields, status) in [
        (format!("Host: 127.0.0.1:{port}"), 200),
        ("Host: 127.0.0.1".to_owned(), 200),
        (format!("Host: localhost:{port}"), 200),
        ("Host: LOCALHOST".to_owned(), 200),
        (format!("Host: [::1]:{port}"), 200),
        (format!("Host: rebound.example:{port}"), 403),
        ("Host: localhost.example".to_owned(), 403),
        ("Host: 127.0.0.1.example".to_owned(), 403),
        ("Host: ".to_owned(), 403),
        ("Host: localhost\r\nHost: rebound.example".to_owned(), 403),
    ] {
        for path in ["/metrics", "/livez", "/readyz", "/"] {
            let status = if path == "/" && status == 200 {
                404
            } else {
                status
            };
            let answer = ask_with(port, &format!("GET {path} HTTP/1.1\r\n{fields}"));
            assert_eq!(answer.0, status, "{fields} {path}: {}", answer.1);
        }
    }
    // Clients of HTTP/1.0 name no host, and browsers are none of these.
    assert_eq!(ask_with(port, "GET /livez HTTP/1.0\r\nA: b").0, 200);
    // At an address for others any name will do.
    let other = free_port();
    let address = format!("0.0.0.0:{other}");
    home.file("other.js", "setTimeout(() => {}, 1e8)");
    home.does(&["start", "other.js", "--metrics", &address]);
    let named = ask_with(other, "GET /livez HTTP/1.1\r\nHost: api.example");
    assert_eq!(named.0, 200, "{}", named.1);
}
