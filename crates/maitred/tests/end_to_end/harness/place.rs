//! Where things are: the program under test, the examples, the tools, a free port.

use std::env;
use std::ffi::OsString;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// The program under test. The environment names a copy where this user cannot read the original.
pub(crate) fn maitred() -> PathBuf {
    match env::var_os("MAITRED_TEST_EXE") {
        Some(copy) => copy.into(),
        None => env!("CARGO_BIN_EXE_maitred").into(),
    }
}

/// The checkout, or the copy of its examples and tools that the environment names.
pub(crate) fn repository() -> PathBuf {
    match env::var_os("MAITRED_TEST_REPO") {
        Some(copy) => copy.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .canonicalize()
            .unwrap(),
    }
}

/// How many rounds the tests of exact distribution play.
pub(crate) fn rounds() -> usize {
    match env::var("MAITRED_TEST_ROUNDS") {
        Ok(number) => number.parse().expect("MAITRED_TEST_ROUNDS is a number"),
        Err(_) => 100,
    }
}

/// The caller's PATH with the pinned runtimes first.
pub(crate) fn path_with_tools() -> OsString {
    let tools = repository().join("tests/tools/node_modules/.bin");
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths([tools].into_iter().chain(env::split_paths(&path))).unwrap()
}

/// The path of an installed program. A missing one is a failure, never a skipped test.
pub(crate) fn tool(name: &str) -> PathBuf {
    env::split_paths(&path_with_tools())
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{name} is missing; `make test` installs what the tests need"))
}

/// A TCP port that nobody uses, on any address, and that no other test program is given while this
/// one runs.
///
/// Not one that the kernel gives for port 0: those come from the range that it also takes the
/// ports of outgoing connections from, and a test that opens thousands of these would sooner or
/// later hit the port that another test has chosen but not yet bound.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    /// Names that say whose a port is, among all test programs on this machine.
    static OURS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (start + step) % COUNT;
        let name = SocketAddr::from_abstract_name(format!("maitred-test-port-{port}")).unwrap();
        let Ok(ours) = UnixListener::bind_addr(&name) else {
            continue;
        };
        if is_free(port) {
            OURS.lock().unwrap().push(ours);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// Whether nobody listens on this port, on any address.
///
/// The socket that finds out does not listen: a process that another thread forks at this moment has a copy of it until it
/// runs its program, and the port would seem taken to whoever asks next.
pub(crate) fn is_free(port: u16) -> bool {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    sockopt::set_ipv6_v6only(&socket, false).unwrap();
    bind(
        &socket,
        &SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0),
    )
    .is_ok()
}
