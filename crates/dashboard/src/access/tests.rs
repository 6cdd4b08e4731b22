//! Hosts, origins and tokens, as one meets them.

use http::Request;

use super::*;

const TOKEN: &str = "0123456789abcdef0123";

/// Fields of a head.
type Fields<'a> = &'a [(&'a str, &'a str)];

fn access() -> Access {
    let access = Access::new(TOKEN.to_owned(), "session-of-this-time".to_owned(), 9615);
    let names = ["dash.example", "tls.example:8443"].map(Authority::from_static);
    access.named(names.to_vec())
}

fn request(path: &str, fields: Fields<'_>) -> Parts {
    let mut request = Request::builder().uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn hosts() {
    for (host, status) in [
        ("127.0.0.1:9615", None),
        ("localhost:8080", None),
        ("LOCALHOST", None),
        ("[::1]:9615", None),
        ("192.168.1.7:9615", None),
        ("dash.example", None),
        ("Dash.Example:443", None),
        ("rebound.example:9615", Some(403)),
        ("localhost.example", Some(403)),
        ("127.0.0.1.example", Some(403)),
        ("evil@127.0.0.1", Some(403)),
        ("", Some(403)),
        ("a b", Some(403)),
    ] {
        let checked = access().check_origin(&request("/", &[("host", host)]));
        assert_eq!(checked.err().map(|it| it.0.as_u16()), status, "{host}");
    }
    let none = access().check_origin(&request("/", &[]));
    assert_eq!(none.unwrap_err().0, StatusCode::BAD_REQUEST);
    let two = [("host", "localhost"), ("host", "rebound.example")];
    let two = access().check_origin(&request("/", &two));
    assert_eq!(two.unwrap_err().0, StatusCode::BAD_REQUEST);
}

#[test]
fn origins() {
    let own = "127.0.0.1:9615";
    for (host, origin, allowed) in [
        (own, "http://127.0.0.1:9615", true),
        (own, "https://127.0.0.1:9615", true),
        (own, "http://127.0.0.1", false),
        (own, "http://127.0.0.1:3000", false),
        (own, "http://localhost:9615", false),
        (own, "http://evil.example", false),
        (own, "http://127.0.0.1:9615.evil.example", false),
        (own, "null", false),
        (own, "", false),
        (own, "file://", false),
        (own, "https://dash.example", true),
        (own, "https://dash.example:8443", false),
        (own, "https://tls.example:8443", true),
        ("tls.example", "https://tls.example", true),
        ("dash.example", "https://dash.example", true),
        ("localhost", "http://localhost", true),
        ("localhost:443", "https://localhost", true),
    ] {
        let fields = [("host", host), ("origin", origin)];
        let checked = access().check_origin(&request("/api/v1/apps", &fields));
        assert_eq!(checked.is_ok(), allowed, "{host} {origin}");
    }
    for (path, site, allowed) in [
        ("/api/v1/apps", "same-origin", true),
        ("/api/v1/apps", "none", true),
        ("/api/v1/apps", "same-site", false),
        ("/metrics", "cross-site", false),
        ("/", "cross-site", true),
    ] {
        let fields = [("host", own), ("sec-fetch-site", site)];
        let checked = access().check_origin(&request(path, &fields));
        assert_eq!(checked.is_ok(), allowed, "{path} {site}");
    }
}

#[test]
fn tokens() {
    let bearer = format!("Bearer {TOKEN}");
    let lower = format!("bearer {TOKEN}");
    let basic = format!("Basic {TOKEN}");
    let address = format!("/?token={TOKEN}");
    let elsewhere = format!("/api/v1/apps?token={TOKEN}");
    let longer = format!("Bearer {TOKEN}0");
    let session = "a=b; maitred_9615=session-of-this-time";
    let cases: [(&str, Fields<'_>, Option<Shown>); 13] = [
        ("/", &[("authorization", &bearer)], Some(Shown::Bearer)),
        (
            "/metrics",
            &[("authorization", &lower)],
            Some(Shown::Bearer),
        ),
        ("/", &[("authorization", &basic)], None),
        ("/", &[("authorization", &longer)], None),
        ("/", &[("authorization", "Bearer ")], None),
        (
            "/",
            &[("authorization", &bearer), ("authorization", "Bearer x")],
            None,
        ),
        (&address, &[], Some(Shown::Address)),
        ("/?token=", &[], None),
        ("/?token=0123456789abcdef0124", &[("cookie", session)], None),
        (&elsewhere, &[], None),
        ("/x", &[("cookie", session)], Some(Shown::Session)),
        (
            "/x",
            &[("cookie", "maitred_9615=session-of-this-tim")],
            None,
        ),
        (
            "/x",
            &[("cookie", "maitred_9616=session-of-this-time")],
            None,
        ),
    ];
    for (path, fields, shown) in cases {
        assert_eq!(
            access().shown(&request(path, fields)),
            shown,
            "{path} {fields:?}"
        );
    }
}

#[test]
fn orders() {
    let plain = request("/", &[]);
    let marked = request("/", &[("x-maitred-order", "1")]);
    let of_page = request("/", &[("origin", "http://127.0.0.1:9615")]);
    assert!(access().check_order(&plain, Shown::Bearer).is_ok());
    assert!(access().check_order(&plain, Shown::Session).is_err());
    assert!(access().check_order(&marked, Shown::Session).is_ok());
    assert!(access().check_order(&of_page, Shown::Session).is_ok());
    let reader = access().read_only(true);
    for shown in [Shown::Bearer, Shown::Session] {
        assert!(reader.check_order(&marked, shown).is_err());
    }
}

#[test]
fn short_tokens_and_others_are_told_apart() {
    assert!(is_long_enough(TOKEN));
    for bad in [
        "",
        "short",
        "0123456789abcde",
        "0123456789 abcdef",
        "ä123456789abcdef",
    ] {
        assert!(!is_long_enough(bad), "{bad}");
    }
    assert!(is_equal("abc", "abc"));
    for (guess, secret) in [
        ("", "a"),
        ("a", ""),
        ("ab", "abc"),
        ("abd", "abc"),
        ("abcd", "abc"),
    ] {
        assert!(!is_equal(guess, secret), "{guess} {secret}");
    }
}
