//! The light server of the cost benchmark: a megabyte each, so that 64 of them
//! fit anywhere, and one epoll loop, so that it holds idle connections as the
//! runtimes do.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

pub(crate) const BODY: &str = "done";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// The listener's mark among the events, where others have their descriptor.
const LISTENER: u64 = u64::MAX;

pub(crate) fn run() -> Result<()> {
    super::raise_file_limit();
    let port: u16 = std::env::var("PORT")
        .context("reading PORT")?
        .parse()
        .context("reading PORT")?;
    let listener = TcpListener::bind(("0.0.0.0", port))
        .with_context(|| format!("listening on port {port}"))?;
    listener
        .set_nonblocking(true)
        .context("making the listener nonblocking")?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("creating an epoll")?;
    epoll
        .add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))
        .context("watching the listener")?;
    let mut clients: HashMap<RawFd, TcpStream> = HashMap::new();
    let mut events = [EpollEvent::empty(); 64];
    loop {
        let n = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(n) => n,
            Err(nix::Error::EINTR) => 0,
            Err(errno) => return Err(errno).context("waiting"),
        };
        for event in &events[..n] {
            if event.data() == LISTENER {
                let Ok((client, _)) = listener.accept() else {
                    continue;
                };
                let fd = client.as_raw_fd();
                let added = epoll.add(&client, EpollEvent::new(EpollFlags::EPOLLIN, fd as u64));
                if client.set_nonblocking(true).is_ok() && added.is_ok() {
                    clients.insert(fd, client);
                }
            } else if let Some(client) = clients.get_mut(&(event.data() as RawFd))
                && !serve(client)
            {
                clients.remove(&(event.data() as RawFd));
            }
        }
    }
}

/// Answers what came. False when the client has gone.
fn serve(client: &mut TcpStream) -> bool {
    // The load generator sends one small request at a time, in one piece.
    match client.read(&mut [0; 1024]) {
        Ok(0) => false,
        Ok(_) => client.write_all(RESPONSE).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
