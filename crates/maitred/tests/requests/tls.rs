//! TLS towards clients: certificates by name, renewed while the app runs.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::apps::{Runtime, app, started};
use crate::harness::{Door, Run, Setup, beside_others, tool};

/// Makes a certificate for this name that vouches for itself.
pub(crate) fn certificate(folder: &Path, name: &str) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "2", "-subj"])
        .arg(format!("/CN={name}"))
        .arg("-addext")
        .arg(format!("subjectAltName=DNS:{name}"))
        .arg("-keyout")
        .arg(folder.join(format!("{name}.key")))
        .arg("-out")
        .arg(folder.join(format!("{name}.pem")))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// The app behind TLS, with a certificate of its own for each of these names, in its folder.
pub(crate) fn secured(mut setup: Setup, names: &[&str]) -> Setup {
    let folder = setup.folder().to_owned();
    for name in names {
        certificate(&folder, name);
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        setup = setup
            .option("--tls-cert", file("pem"))
            .option("--tls-key", file("key"));
    }
    setup
}

/// What curl gets for a path on a host whose certificate it believes, and no other.
pub(crate) fn curl(
    run: &Run,
    folder: &Path,
    name: &str,
    path: &str,
    more: &[&str],
) -> Option<String> {
    let Door::Tcp(address) = run.door() else {
        panic!("not a TCP app");
    };
    let port = address.port();
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "20", "--resolve"])
        .arg(format!("{name}:{port}:127.0.0.1"))
        .arg("--cacert")
        .arg(folder.join(format!("{name}.pem")))
        .args(more)
        .arg(format!("https://{name}:{port}{path}"))
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

/// The kernel makes over to root what it shows of a process that must not be dumped: so it is seen
/// that an ordinary user's supervisor is one.
#[test]
fn a_supervisor_with_keys_in_its_memory_is_not_dumped() {
    use std::os::unix::fs::MetadataExt;
    let _turn = beside_others();
    let run = started(secured(app(Runtime::Bun), &["one.test"]), 1);
    let guard = run.pid();
    let children = std::fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap();
    let supervisor = children.split(' ').next().unwrap();
    let owner = std::fs::metadata(format!("/proc/{supervisor}/environ"))
        .unwrap()
        .uid();
    assert_eq!(owner, 0);
}

#[test]
fn each_name_has_its_certificate_and_renewed_ones_are_used() {
    let _turn = beside_others();
    let setup = secured(app(Runtime::Bun), &["one.test", "two.test"]);
    let folder = setup.folder().to_owned();
    let mut run = started(setup, 2);
    for name in ["one.test", "two.test"] {
        let seen = curl(&run, &folder, name, "/who", &[]).unwrap();
        assert!(seen.contains("\"x-forwarded-proto\":\"https\""), "{seen}");
    }
    let body = "x".repeat(300_000);
    std::fs::write(folder.join("body"), &body).unwrap();
    let upload = format!("@{}", folder.join("body").display());
    let echo = curl(
        &run,
        &folder,
        "two.test",
        "/echo",
        &["--data-binary", &upload],
    );
    assert_eq!(echo.unwrap(), body);
    let big = curl(&run, &folder, "one.test", "/big?mb=20", &[]).unwrap();
    assert_eq!(big.len(), 20 * 1024 * 1024);
    // A renewed certificate comes into use by itself; a broken one does not.
    std::fs::write(folder.join("two.test.key"), "nonsense").unwrap();
    run.event("the complaint", |event| event.is("certificate"));
    assert!(curl(&run, &folder, "two.test", "/who", &[]).is_some());
    certificate(&folder, "two.test");
    while curl(&run, &folder, "two.test", "/who", &[]).is_none() {}
    assert!(curl(&run, &folder, "one.test", "/who", &[]).is_some());
}

/// Sends a request with a body of so many bytes, in records of 10,000: then one read brings one
/// and a half, and what is left of the one before. Prints the response.
const UPLOAD: &str = r#"
import socket, ssl, sys
port, length = map(int, sys.argv[1:])
context = ssl._create_unverified_context()
with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30)) as stream:
    stream.sendall(b"POST /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                   b"Content-Length: %d\r\n\r\n" % length)
    for _ in range(length // 10000):
        stream.sendall(bytes(10000))
    while data := stream.recv(65536):
        print(data.decode())
"#;

/// What comes in at once may be more than TLS takes at once.
#[test]
fn a_large_upload_arrives_whole() {
    let _turn = beside_others();
    let run = started(secured(app(Runtime::Node), &["one.test"]), 1);
    let Door::Tcp(address) = run.door() else {
        panic!("not a TCP app");
    };
    let output = Command::new(tool("python3"))
        .args(["-c", UPLOAD, &address.port().to_string(), "20000000"])
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(seen.contains("\"length\":20000000"), "{seen}\n{output:?}");
}

/// A session, then those of 500 other clients, and the first one again, for each version.
const RESUME: &str = r#"
import socket, ssl, sys
def connect(context, session=None):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as raw:
        with context.wrap_socket(raw, server_hostname="one.test", session=session) as tls:
            tls.sendall(b"GET /?ms=0 HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n")
            while tls.recv(65536): pass
            return tls.session, tls.session_reused
for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = ssl.create_default_context(cafile=sys.argv[2])
    context.minimum_version = context.maximum_version = version
    first, _ = connect(context)
    reused = [connect(context)[1] for _ in range(500)]
    print(version.name, any(reused), connect(context, first)[1])
"#;

#[test]
fn sessions_are_resumed_however_many_clients_came_in_between() {
    let _turn = beside_others();
    let setup = secured(app(Runtime::Node), &["one.test"]);
    let certificate = setup.folder().join("one.test.pem");
    let run = started(setup, 1);
    let Door::Tcp(address) = run.door() else {
        panic!("not a TCP app");
    };
    let output = Command::new(tool("python3"))
        .args(["-c", RESUME, &address.port().to_string()])
        .arg(certificate)
        .output()
        .unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        seen, "TLSv1_2 False True\nTLSv1_3 False True\n",
        "{output:?}"
    );
}

/// A client whose offer of a key the server cannot use is asked for another one (HelloRetryRequest).
#[test]
fn a_client_that_has_to_begin_again_is_served() {
    let _turn = beside_others();
    let run = started(secured(app(Runtime::Node), &["one.test"]), 1);
    let Door::Tcp(address) = run.door() else {
        panic!("not a TCP app");
    };
    let mut client = Command::new("timeout")
        .args([
            "60",
            "openssl",
            "s_client",
            "-tls1_3",
            "-groups",
            "P-521:X25519",
            "-msg",
        ])
        .args(["-ign_eof", "-connect", &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let request = b"GET /who HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n";
    client.stdin.take().unwrap().write_all(request).unwrap();
    let output = client.wait_with_output().unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen.matches(", ClientHello").count(), 2, "{seen}");
    assert!(seen.contains("HTTP/1.1 200 "), "{seen}");
}
