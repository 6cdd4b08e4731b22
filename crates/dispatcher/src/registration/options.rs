//! Socket options: which of those that a worker sets on its listener reach the real one.
//!
//! One table names them. What is not in it stays with the worker. Reading and setting happen with the
//! worker's rights, so that the kernel refuses what needs more than it has.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What a listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Unix,
}

/// How the value of an option travels from one socket to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copied {
    /// As it is.
    Plain,
    /// The kernel has doubled what was set.
    Halved,
    /// It means something for one socket only, or is set by us.
    Never,
}

struct Rule {
    level: i32,
    option: i32,
    copied: Copied,
}

const SOCKET: i32 = 1;
const IP: i32 = 0;
const TCP: i32 = 6;
const IPV6: i32 = 41;

const fn rule(level: i32, option: i32, copied: Copied) -> Rule {
    Rule {
        level,
        option,
        copied,
    }
}

/// All that a worker can set on a listener, by level and number (`socket(7)`, `tcp(7)`, `ip(7)`,
/// `ipv6(7)`). Missing on purpose: SO_DEBUG, SO_ATTACH_FILTER and its kin, TCP_REPAIR, TCP_ULP,
/// TCP_MD5SIG, what would make the supervisor's calls wait, and all that takes pointers.
const RULES: &[Rule] = &[
    rule(SOCKET, 2, Copied::Never),  // SO_REUSEADDR
    rule(SOCKET, 5, Copied::Plain),  // SO_DONTROUTE
    rule(SOCKET, 7, Copied::Halved), // SO_SNDBUF
    rule(SOCKET, 8, Copied::Halved), // SO_RCVBUF
    rule(SOCKET, 9, Copied::Plain),  // SO_KEEPALIVE
    rule(SOCKET, 10, Copied::Plain), // SO_OOBINLINE
    rule(SOCKET, 12, Copied::Plain), // SO_PRIORITY
    rule(SOCKET, 13, Copied::Never), // SO_LINGER, see `linger`
    rule(SOCKET, 15, Copied::Never), // SO_REUSEPORT
    rule(SOCKET, 16, Copied::Plain), // SO_PASSCRED
    rule(SOCKET, 18, Copied::Plain), // SO_RCVLOWAT
    rule(SOCKET, 20, Copied::Plain), // SO_RCVTIMEO
    rule(SOCKET, 21, Copied::Plain), // SO_SNDTIMEO
    rule(SOCKET, 25, Copied::Plain), // SO_BINDTODEVICE
    rule(SOCKET, 32, Copied::Never), // SO_SNDBUFFORCE
    rule(SOCKET, 33, Copied::Never), // SO_RCVBUFFORCE
    rule(SOCKET, 34, Copied::Plain), // SO_PASSSEC
    rule(SOCKET, 36, Copied::Plain), // SO_MARK
    rule(SOCKET, 46, Copied::Plain), // SO_BUSY_POLL
    rule(SOCKET, 47, Copied::Plain), // SO_MAX_PACING_RATE
    rule(SOCKET, 49, Copied::Plain), // SO_INCOMING_CPU
    rule(IP, 1, Copied::Plain),      // IP_TOS
    rule(IP, 2, Copied::Plain),      // IP_TTL
    rule(IP, 10, Copied::Plain),     // IP_MTU_DISCOVER
    rule(IP, 15, Copied::Plain),     // IP_FREEBIND
    rule(IP, 19, Copied::Plain),     // IP_TRANSPARENT
    rule(IP, 21, Copied::Plain),     // IP_MINTTL
    rule(IPV6, 16, Copied::Plain),   // IPV6_UNICAST_HOPS
    rule(IPV6, 23, Copied::Plain),   // IPV6_MTU_DISCOVER
    rule(IPV6, 26, Copied::Plain),   // IPV6_V6ONLY
    rule(IPV6, 67, Copied::Plain),   // IPV6_TCLASS
    rule(IPV6, 70, Copied::Plain),   // IPV6_AUTOFLOWLABEL
    rule(IPV6, 73, Copied::Plain),   // IPV6_MINHOPCOUNT
    rule(IPV6, 75, Copied::Plain),   // IPV6_TRANSPARENT
    rule(IPV6, 78, Copied::Plain),   // IPV6_FREEBIND
    rule(TCP, 1, Copied::Plain),     // TCP_NODELAY
    rule(TCP, 2, Copied::Plain),     // TCP_MAXSEG
    rule(TCP, 3, Copied::Plain),     // TCP_CORK
    rule(TCP, 4, Copied::Plain),     // TCP_KEEPIDLE
    rule(TCP, 5, Copied::Plain),     // TCP_KEEPINTVL
    rule(TCP, 6, Copied::Plain),     // TCP_KEEPCNT
    rule(TCP, 7, Copied::Plain),     // TCP_SYNCNT
    rule(TCP, 8, Copied::Plain),     // TCP_LINGER2
    rule(TCP, 9, Copied::Plain),     // TCP_DEFER_ACCEPT
    rule(TCP, 10, Copied::Plain),    // TCP_WINDOW_CLAMP
    rule(TCP, 12, Copied::Plain),    // TCP_QUICKACK
    rule(TCP, 13, Copied::Plain),    // TCP_CONGESTION
    rule(TCP, 16, Copied::Plain),    // TCP_THIN_LINEAR_TIMEOUTS
    rule(TCP, 18, Copied::Plain),    // TCP_USER_TIMEOUT
    rule(TCP, 23, Copied::Plain),    // TCP_FASTOPEN
    rule(TCP, 25, Copied::Plain),    // TCP_NOTSENT_LOWAT
    rule(TCP, 27, Copied::Plain),    // TCP_SAVE_SYN
    rule(TCP, 37, Copied::Plain),    // TCP_TX_DELAY
];

/// What may only be read of a listener.
const READABLE: &[(i32, i32)] = &[
    (SOCKET, 3),  // SO_TYPE
    (SOCKET, 4),  // SO_ERROR
    (SOCKET, 30), // SO_ACCEPTCONN
    (SOCKET, 38), // SO_PROTOCOL
    (SOCKET, 39), // SO_DOMAIN
    (SOCKET, 55), // SO_MEMINFO
    (SOCKET, 57), // SO_COOKIE
    (TCP, 11),    // TCP_INFO
    (IPV6, 1),    // IPV6_ADDRFORM
];

/// Whether a worker may set this option of its listener.
pub(super) fn may_set(level: i32, option: i32) -> bool {
    RULES
        .iter()
        .any(|rule| (rule.level, rule.option) == (level, option))
}

/// Whether it may read it.
pub(super) fn may_get(level: i32, option: i32) -> bool {
    may_set(level, option) || READABLE.contains(&(level, option))
}

/// Whether an option of the listener is ours: the worker is told that it is set.
pub(super) fn is_kept(level: i32, option: i32) -> bool {
    // With SO_REUSEPORT the port would not be the app's alone.
    level == SOCKET && matches!(option, 2 | 15)
}

/// Gives a socket of ours all options that a worker's has, where they are not as they were when the
/// socket was made.
///
/// # Errors
/// If the socket would be open to more than the worker's: to other devices, or to IPv4.
pub(super) fn copy(from: &OwnedFd, to: &OwnedFd, kind: Kind) -> io::Result<()> {
    for rule in RULES {
        if kind == Kind::Unix && rule.level != SOCKET {
            continue;
        }
        let (Some(theirs), Some(ours)) = (read(from, rule), read(to, rule)) else {
            continue;
        };
        if theirs == ours {
            continue;
        }
        let value = match rule.copied {
            Copied::Never => continue,
            Copied::Plain => theirs,
            Copied::Halved => match theirs.first_chunk() {
                Some(doubled) => (i32::from_ne_bytes(*doubled) / 2).to_ne_bytes().to_vec(),
                None => continue,
            },
        };
        let set = sys::write_option(to.as_fd(), rule.level, rule.option, &value);
        // What the worker may not set is not ours to set for it.
        if matches!((rule.level, rule.option), (SOCKET, 25) | (IPV6, 26)) {
            set?;
        }
    }
    Ok(())
}

fn read(socket: &OwnedFd, rule: &Rule) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let len = sys::read_option(socket.as_fd(), rule.level, rule.option, &mut value).ok()?;
    value.get(..len).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketType, socket, sockopt};

    #[test]
    fn what_a_worker_has_set_is_set_again() {
        let new = || socket(AddressFamily::INET6, SocketType::STREAM, None).unwrap();
        let (theirs, ours) = (new(), new());
        sockopt::set_ipv6_v6only(&theirs, true).unwrap();
        sockopt::set_tcp_nodelay(&theirs, true).unwrap();
        sockopt::set_socket_keepalive(&theirs, true).unwrap();
        sockopt::set_socket_recv_buffer_size(&theirs, 20_000).unwrap();
        sockopt::set_tcp_keepcnt(&theirs, 3).unwrap();
        sockopt::set_socket_linger(&theirs, Some(std::time::Duration::from_secs(9))).unwrap();
        sys::write_option(theirs.as_fd(), TCP, 9, &5i32.to_ne_bytes()).unwrap();
        sys::write_option(theirs.as_fd(), TCP, 23, &7i32.to_ne_bytes()).unwrap();
        sys::write_option(theirs.as_fd(), IPV6, 67, &16i32.to_ne_bytes()).unwrap();
        copy(&theirs, &ours, Kind::Tcp).unwrap();
        for rule in RULES.iter().filter(|rule| rule.copied != Copied::Never) {
            let what = (rule.level, rule.option);
            assert_eq!(read(&theirs, rule), read(&ours, rule), "{what:?}");
        }
        assert!(sockopt::ipv6_v6only(&ours).unwrap());
        assert_eq!(sockopt::socket_recv_buffer_size(&ours).unwrap(), 40_000);
        assert_eq!(sockopt::socket_linger(&ours).unwrap(), None);
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        for (level, option) in [
            (SOCKET, 1),  // SO_DEBUG
            (SOCKET, 26), // SO_ATTACH_FILTER
            (SOCKET, 43), // SO_LOCK_FILTER
            (TCP, 19),    // TCP_REPAIR
            (TCP, 31),    // TCP_ULP
            (TCP, 14),    // TCP_MD5SIG
            (TCP, 35),    // TCP_ZEROCOPY_RECEIVE
            (IP, 64),     // IPT_SO_SET_REPLACE
            (IPV6, 64),
            (132, 1),
            (i32::MAX, -1),
        ] {
            assert!(!may_set(level, option) && !may_get(level, option));
        }
        assert!(may_get(TCP, 11) && !may_set(TCP, 11));
    }
}
