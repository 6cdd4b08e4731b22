//! The kernel's tables of sockets, and which process holds which: `/proc/net/tcp` and its
//! neighbours, and `/proc/<pid>/fd`.

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// TCP sockets that listen.
    TcpListeners,
    /// TCP sockets that are connected.
    TcpConnections,
    /// UDP sockets that are bound.
    Udp,
}

/// A socket of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub local: SocketAddr,
    /// The other side, which a socket that is not connected does not have.
    pub peer: SocketAddr,
    pub inode: u64,
}

/// All sockets of a table, as far as `/proc` shows it.
pub fn read(table: Table) -> Vec<Entry> {
    let files = match table {
        Table::TcpListeners | Table::TcpConnections => ["/proc/net/tcp", "/proc/net/tcp6"],
        Table::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let texts = files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    texts
        .flat_map(|text| {
            let entries = text.lines().filter_map(|line| entry(line, table));
            entries.collect::<Vec<_>>()
        })
        .collect()
}

/// The accepted ends of connections to Unix sockets with a path: inode, and that path as it was bound.
pub fn unix_connections() -> Vec<(u64, PathBuf)> {
    let text = fs::read("/proc/net/unix").unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(unix_connection).collect()
}

/// `Num RefCount Protocol Flags Type St Inode Path`: type 0001 for streams, state 03 for connected ones. Only
/// an accepted end has the path of who listened.
fn unix_connection(line: &[u8]) -> Option<(u64, PathBuf)> {
    let mut fields = line.splitn(8, |byte| *byte == b' ');
    let is_stream = fields.nth(4)? == b"0001";
    let is_connected = fields.next()? == b"03";
    // The inode has a column of its own, filled with spaces.
    let rest = [fields.next()?, b" ", fields.next()?].concat();
    let rest = rest.trim_ascii_start();
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let inode = str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
    let path = rest.get(end + 1..).filter(|path| !path.is_empty())?;
    let path = PathBuf::from(OsStr::from_bytes(path));
    (is_stream && is_connected).then_some((inode, path))
}

/// The sockets among a process's descriptors: number and inode. `None` where they are not shown.
pub fn sockets_of(pid: i32) -> Option<Vec<(i32, u64)>> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let sockets = descriptors.flatten().filter_map(|descriptor| {
        let target = fs::read_link(descriptor.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?;
        let inode = inode.strip_suffix(']')?.parse().ok()?;
        Some((descriptor.file_name().to_str()?.parse().ok()?, inode))
    });
    Some(sockets.collect())
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    /// Its name, as it may stand in a message.
    pub name: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{} (pid {})", self.name, self.pid)
    }
}

/// The process that listens on this TCP port, as far as `/proc` shows it to us.
pub fn listener_at(port: u16) -> Option<Holder> {
    let entries = read(Table::TcpListeners);
    let entry = entries.iter().find(|entry| entry.local.port() == port)?;
    holder_of(entry.inode)
}

/// A process that holds a socket, as far as `/proc` shows it to us.
pub fn holder_of(inode: u64) -> Option<Holder> {
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let sockets = sockets_of(pid).unwrap_or_default();
        if sockets.iter().any(|(_, held)| *held == inode) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let name = name.trim_end().escape_debug().to_string();
            return Some(Holder { pid, name });
        }
    }
    None
}

/// A line of a table: `sl local_address rem_address st … inode`, addresses in hexadecimal, state
/// 0A for LISTEN.
fn entry(line: &str, table: Table) -> Option<Entry> {
    let mut fields = line.split_whitespace();
    let local = address(fields.nth(1)?)?;
    let peer = address(fields.next()?)?;
    let listens = fields.next()? == "0A";
    let is_meant = match table {
        Table::TcpListeners => listens,
        Table::TcpConnections => !listens,
        Table::Udp => true,
    };
    let inode = fields.nth(5)?.parse().ok().filter(|_| is_meant)?;
    Some(Entry { local, peer, inode })
}

/// `0100007F:15B3`: each 32 bits of the address in the order of this machine, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(8 * at..8 * at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_sockets_are_found() {
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let six = std::net::TcpListener::bind("[::1]:0").unwrap();
        let port = four.local_addr().unwrap().port();
        assert_eq!(
            u32::try_from(listener_at(port).unwrap().pid),
            Ok(std::process::id())
        );
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let pid = std::process::id();
        let held = sockets_of(i32::try_from(pid).unwrap()).unwrap();
        for (table, address) in [
            (Table::TcpListeners, four.local_addr().unwrap()),
            (Table::TcpListeners, six.local_addr().unwrap()),
            (Table::Udp, udp.local_addr().unwrap()),
        ] {
            let entries = read(table);
            let entry = entries.iter().find(|entry| entry.local == address);
            let inode = entry.unwrap().inode;
            assert!(held.iter().any(|(_, held)| *held == inode), "{address}");
            let holder = holder_of(inode).unwrap();
            assert_eq!(u32::try_from(holder.pid), Ok(pid), "{holder}");
        }
    }

    #[test]
    fn accepted_ends_of_unix_sockets_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let inode = rustix::fs::fstat(&accepted).unwrap().st_ino;
        let found = unix_connections();
        let found: Vec<_> = found.into_iter().filter(|(_, at)| *at == path).collect();
        assert_eq!(found, [(inode, path)]);
    }

    #[test]
    fn lines_that_name_no_socket_are_passed_over() {
        let line =
            "0: 0100007F:15B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 421 1";
        let found = entry(line, Table::TcpListeners).unwrap();
        assert_eq!(found.inode, 421);
        assert_eq!(found.local, "127.0.0.1:5555".parse().unwrap());
        let other = line.replace("0A", "07");
        assert_eq!(entry(&other, Table::TcpListeners), None);
        assert_eq!(entry(&other, Table::Udp), Some(found));
        for bad in [
            "sl local_address",
            "",
            "0: 01:15B3 0:0 0A",
            "0: é100007F:15B3 0 0A",
        ] {
            assert_eq!(entry(bad, Table::Udp), None, "{bad}");
        }
    }
}
