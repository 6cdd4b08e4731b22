//! Who has a TCP port: for the message that it is in use.

use std::fs;

/// The process that listens on this port, as far as `/proc` shows it to us.
pub(super) fn find(port: u16) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| table.lines().find_map(|line| listener_inode(line, port)))?;
    let socket = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| target.as_os_str() == socket.as_str());
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim_end().escape_debug()));
        }
    }
    None
}

/// The inode of the listening socket in this line of the table, if it has the port: `sl
/// local_address rem_address st … inode`, addresses in hexadecimal, state 0A for LISTEN.
fn listener_inode(line: &str, port: u16) -> Option<u64> {
    let mut fields = line.split_whitespace();
    let (_, local) = fields.nth(1)?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    (u16::from_str_radix(local, 16) == Ok(port) && state == "0A").then_some(())?;
    fields.nth(5)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = find(listener.local_addr().unwrap().port()).unwrap();
        let pid = std::process::id();
        assert!(owner.ends_with(&format!("(pid {pid})")), "{owner}");
    }

    #[test]
    fn lines_that_are_no_listener_have_no_inode() {
        let line =
            "0: 0100007F:15B3 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 421 1";
        assert_eq!(listener_inode(line, 0x15b3), Some(421));
        assert_eq!(listener_inode(line, 80), None);
        assert_eq!(listener_inode(&line.replace("0A", "01"), 0x15b3), None);
        assert_eq!(listener_inode("sl local_address", 80), None);
        assert_eq!(listener_inode("", 80), None);
    }
}
