//! Who has a TCP port: for the message that it is in use.

use process::sockets::{Table, holder_of, read};

/// The process that listens on this port, as far as `/proc` shows it to us.
pub(super) fn find(port: u16) -> Option<String> {
    let entries = read(Table::TcpListeners);
    let entry = entries.iter().find(|entry| entry.local.port() == port)?;
    holder_of(entry.inode)
}
