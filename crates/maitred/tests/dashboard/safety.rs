//! Who gets an answer: a table of methods, paths, tokens, hosts and origins.

use rustix::process::Signal;

use crate::harness::{beside_others, free_port};
use crate::home::Home;
use crate::server::Dashboard;

const JOB: &str = "exec sleep 1000\n";

/// Where a token is, if there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Nothing,
    Bearer,
    Wrong,
    Session,
    WrongSession,
}
use By::{Bearer, Nothing, Session, Wrong, WrongSession};

fn fields(dashboard: &Dashboard, by: By, more: &str) -> String {
    let session = dashboard.session();
    let token = &dashboard.token;
    let own = match by {
        Nothing => "X-None: 1".to_owned(),
        Bearer => format!("Authorization: Bearer {token}"),
        Wrong => format!("Authorization: Bearer {}", token.replace(['0', '1'], "2")),
        Session => format!("Cookie: other=1; {session}"),
        WrongSession => format!("Cookie: {session}0"),
    };
    match more {
        "" => own,
        more => format!("{own}\r\n{more}"),
    }
}

#[test]
fn who_asks_has_a_token_and_is_no_page_of_another_site() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", JOB);
    home.does(&["start", "job.sh"]);
    let dashboard = Dashboard::of(&home);
    let own = format!("Host: 127.0.0.1:{}", dashboard.port);
    let other_port = "Origin: http://127.0.0.1:1";
    let same = format!("Origin: http://127.0.0.1:{}", dashboard.port);
    let apps = "/api/v1/apps";
    let table: [(&str, &str, &str, By, &str, u16); 33] = [
        ("GET", "/livez", &own, Nothing, "", 200),
        ("GET", "/readyz", &own, Nothing, "", 200),
        ("HEAD", "/livez", &own, Nothing, "", 200),
        ("POST", "/livez", &own, Nothing, "", 405),
        ("GET", "/livez", "Host: rebound.example", Nothing, "", 403),
        ("GET", "/", &own, Nothing, "", 401),
        ("GET", "/", &own, Session, "", 200),
        ("GET", "/", &own, Bearer, "", 200),
        ("GET", "/main.js", &own, Nothing, "", 401),
        ("GET", "/main.js", &own, Session, "", 200),
        ("GET", "/metrics", &own, Nothing, "", 401),
        ("GET", "/metrics", &own, Bearer, "", 200),
        ("GET", "/nowhere", &own, Nothing, "", 401),
        ("GET", "/nowhere", &own, Bearer, "", 404),
        ("GET", apps, &own, Nothing, "", 401),
        ("GET", apps, &own, Wrong, "", 401),
        ("GET", apps, &own, WrongSession, "", 401),
        ("GET", apps, &own, Bearer, "", 200),
        ("GET", apps, &own, Session, "", 200),
        ("GET", apps, "Host: localhost:1", Session, "", 200),
        ("GET", apps, "Host: [::1]", Session, "", 200),
        ("GET", apps, "Host: rebound.example", Session, "", 403),
        ("GET", apps, "Host: rebound.example", Bearer, "", 403),
        ("GET", apps, "X-None: 1", Bearer, "", 400),
        ("GET", apps, "Host: a\r\nHost: localhost", Bearer, "", 400),
        ("GET", apps, &own, Session, &same, 200),
        ("GET", apps, &own, Session, other_port, 403),
        (
            "GET",
            apps,
            &own,
            Bearer,
            "Origin: http://evil.example",
            403,
        ),
        ("GET", apps, &own, Session, "Origin: null", 403),
        (
            "GET",
            apps,
            &own,
            Session,
            "Sec-Fetch-Site: cross-site",
            403,
        ),
        ("GET", apps, &own, Session, "Sec-Fetch-Site: same-site", 403),
        (
            "GET",
            apps,
            &own,
            Session,
            "Sec-Fetch-Site: same-origin",
            200,
        ),
        ("DELETE", apps, &own, Bearer, "", 405),
    ];
    for (method, path, host, by, more, status) in table {
        let fields = fields(&dashboard, by, more);
        let answer = dashboard.sends(
            &format!("{method} {path} HTTP/1.1\r\n{host}\r\n{fields}"),
            "",
        );
        assert_eq!(
            answer.status, status,
            "{method} {path} {host} {by:?} {more} {answer:?}"
        );
        let policy = answer.field("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.field("access-control-allow-origin"), None);
    }
}

#[test]
fn who_orders_has_a_token_and_is_the_page_itself() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", JOB);
    home.does(&["start", "job.sh"]);
    let dashboard = Dashboard::of(&home);
    let reader = Dashboard::with(&home, &["--read-only"]);
    let pids = home.pids();
    let own = format!("Origin: http://127.0.0.1:{}", dashboard.port);
    let ordered = "X-Maitred-Order: 1";
    // What is refused comes first, and changes nothing.
    let table: [(&Dashboard, &str, By, &str, u16); 14] = [
        (&dashboard, "POST", Nothing, ordered, 401),
        (&dashboard, "POST", Wrong, ordered, 401),
        (&dashboard, "POST", WrongSession, ordered, 401),
        (&dashboard, "POST", Session, "", 403),
        (
            &dashboard,
            "POST",
            Session,
            "Origin: http://evil.example",
            403,
        ),
        (
            &dashboard,
            "POST",
            Session,
            "Sec-Fetch-Site: cross-site",
            403,
        ),
        (&dashboard, "GET", Session, ordered, 405),
        (&dashboard, "OPTIONS", Session, ordered, 405),
        (&reader, "POST", Bearer, "", 403),
        (&reader, "POST", Session, ordered, 403),
        (&reader, "GET", Session, ordered, 405),
        (&dashboard, "POST", Session, ordered, 200),
        (&dashboard, "POST", Session, &own, 200),
        (&dashboard, "POST", Bearer, "", 200),
    ];
    for (dashboard, method, by, more, status) in table {
        let fields = fields(dashboard, by, more);
        let head = format!(
            "{method} /api/v1/apps/job/restart HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{fields}",
            dashboard.port
        );
        let before = home.pids();
        let answer = dashboard.sends(&head, "");
        assert_eq!(answer.status, status, "{method} {by:?} {more} {answer:?}");
        assert_eq!(home.pids() == before, status != 200, "{by:?} {more}");
    }
    assert_ne!(home.pids(), pids);
    // Reading is as ever.
    assert!(reader.tells("/api/v1/apps")["apps"].is_array());
}

#[test]
fn another_address_has_to_be_meant() {
    let home = Home::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9615"] {
        let said = home.fails(&["dashboard", "--listen", address]);
        assert!(said.contains("--expose-without-tls"), "{said}");
    }
    for (flags, reason) in [
        (&["--listen", "localhost"][..], "127.0.0.1:9615, or a port"),
        (&["--allow-host", "http://a"], "such as dash.example.com"),
    ] {
        let ended = home.run(&[&["dashboard"], flags].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.errors.contains(reason), "{ended:?}");
    }
}

/// Whoever has the port is named, and what to do.
#[test]
fn a_port_in_use_is_told_with_who_has_it() {
    let home = Home::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let said = home.fails(&["dashboard", "--listen", &address]);
    let pid = std::process::id();
    let expected = format!("(pid {pid}): choose another address with --listen");
    assert!(said.contains(&format!("{address} is in use by")), "{said}");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_proxy_in_front_has_a_name_that_is_allowed() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", JOB);
    home.does(&["start", "job.sh"]);
    let flags = ["--expose-without-tls", "--allow-host", "dash.example"];
    let dashboard = Dashboard::with(&home, &flags);
    let session = dashboard.session();
    for (host, origin, status) in [
        ("dash.example", "https://dash.example", 200),
        ("127.0.0.1", "https://dash.example", 200),
        ("dash.example", "https://other.example", 403),
        ("other.example", "https://dash.example", 403),
    ] {
        let head = format!(
            "POST /api/v1/apps/job/restart HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nCookie: {session}"
        );
        assert_eq!(dashboard.sends(&head, "").status, status, "{host} {origin}");
    }
}

#[test]
fn a_token_of_a_file_lasts_and_is_not_printed() {
    let _turn = beside_others();
    let home = Home::new();
    let token = "a-token-of-some-length";
    let file = home.file("token", &format!("{token}\n"));
    let name = file.to_str().unwrap();
    let port = free_port().to_string();
    // Others can read it.
    let said = home.fails(&["dashboard", "--listen", &port, "--token-file", name]);
    assert!(said.contains("chmod 600"), "{said}");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).unwrap();
    let mut dashboard = Dashboard::with(&home, &["--token-file", name]);
    assert!(!dashboard.token.contains(token), "{}", dashboard.token);
    token.clone_into(&mut dashboard.token);
    assert_eq!(
        dashboard.tells("/api/v1/apps")["apps"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    // What is exchanged for it does not last.
    assert!(!dashboard.session().contains(token));
    std::fs::write(&file, "short\n").unwrap();
    let said = home.fails(&["dashboard", "--listen", &port, "--token-file", name]);
    assert!(said.contains("16 characters"), "{said}");
    let none = home.fails(&["dashboard", "--token-file", "/nowhere/token"]);
    assert!(none.contains("/nowhere/token"), "{none}");
}

/// It may be one more app, or a page that somebody leaves open.
#[test]
fn it_ends_when_it_is_asked_to() {
    let _turn = beside_others();
    let home = Home::new();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let dashboard = Dashboard::of(&home);
        // A client that listens does not hold it up.
        let _stream = crate::api::Stream::open(&dashboard, "/api/v1/stream");
        assert_eq!(dashboard.ends_on(signal), Some(0), "{signal:?}");
    }
}
