//! Clients of the victims: each connection is answered with the process id of who took it.

use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;

use crate::harness::{PATIENCE, read_some};

/// Where a victim listens.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A TCP port of this machine.
    Port(u16),
    /// A Unix socket.
    Path(PathBuf),
    /// A Unix socket in the abstract namespace.
    Abstract(String),
}

/// A connection that stays open as long as the test wants.
pub(crate) struct Visit {
    stream: Box<dyn Read + Send>,
}

impl Visit {
    pub(crate) fn begin(place: &Place) -> io::Result<Visit> {
        let unix = |stream: UnixStream| -> io::Result<Box<dyn Read + Send>> {
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        };
        let stream = match place {
            Place::Port(port) => {
                let address = (Ipv4Addr::LOCALHOST, *port).into();
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Place::Path(path) => unix(UnixStream::connect(path)?)?,
            Place::Abstract(name) => {
                let address = SocketAddr::from_abstract_name(name)?;
                unix(UnixStream::connect_addr(&address)?)?
            }
        };
        Ok(Visit { stream })
    }

    /// Waits for the answer, a line.
    pub(crate) fn answer(&mut self) -> io::Result<i32> {
        let mut text = String::new();
        let mut byte = [0];
        loop {
            match read_some(&mut self.stream, &mut byte)? {
                0 => {
                    let fault = format!("closed after {text:?}");
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, fault));
                }
                _ if byte[0] == b'\n' => break,
                _ => text.push(char::from(byte[0])),
            }
        }
        text.parse()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

/// A whole visit: who answered.
pub(crate) fn visit(place: &Place) -> io::Result<i32> {
    Visit::begin(place)?.answer()
}

/// Many visits, half of them one after another and half all at once: who answered. Every one
/// must be answered.
pub(crate) fn visits(place: &Place, count: usize) -> Vec<i32> {
    let one_by_one = count / 2;
    let mut who: Vec<i32> = (0..one_by_one)
        .map(|number| match visit(place) {
            Ok(pid) => pid,
            Err(error) => panic!("visit {number} of {count} to {place:?}: {error}"),
        })
        .collect();
    let at_once: Vec<_> = (one_by_one..count)
        .map(|_| Visit::begin(place).unwrap())
        .collect();
    for (number, mut visit) in at_once.into_iter().enumerate() {
        match visit.answer() {
            Ok(pid) => who.push(pid),
            Err(error) => panic!("visit {number} at once to {place:?}: {error}"),
        }
    }
    who
}
