//! What the supervisor hears of the dispatcher.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use process::sockets::Holder;
use telemetry::figures::Foreign;

use super::address::ListenAddress;
use balance::MemberId;
use telemetry::ids::Instance;

/// What happened that others should know.
#[derive(Debug)]
pub enum Notice {
    /// The library is loaded in this direct child.
    Loaded { pid: i32 },
    /// A worker has begun to listen.
    Listening {
        /// Tells the worker from all others, and its listeners from one another.
        member: MemberId,
        pid: i32,
        instance: Instance,
        address: ListenAddress,
        /// The kernel chose the port.
        chosen: bool,
        /// How many workers listen there now.
        members: usize,
    },
    /// A worker listens at an address of its own, which is not shared.
    ListensNatively { inode: u64 },
    /// A worker has ended, or listens no more.
    Left {
        member: MemberId,
        pid: i32,
        instance: Instance,
        address: ListenAddress,
        members: usize,
        /// Clients whose connections it had accepted, and which were open to its end or close to
        /// it: some of them where there are many.
        cut: Vec<SocketAddr>,
    },
    /// Another process has the address that a worker wants.
    InUse {
        instance: Instance,
        address: ListenAddress,
        /// Who has it, where the kernel tells.
        by: Option<Holder>,
    },
    /// A worker wants an address, and its port is taken by a socket that was passed to maitred and
    /// listens at another one.
    PassedElsewhere {
        instance: Instance,
        address: ListenAddress,
        passed: ListenAddress,
    },
    /// An instance has got the UDP socket of another one, which has the address.
    DatagramsShared {
        instance: Instance,
        address: SocketAddr,
    },
    /// Another instance has it, and the kernel does not give its socket.
    DatagramsNotShared {
        instance: Instance,
        address: SocketAddr,
    },
    /// Another process has it.
    DatagramsInUse {
        instance: Instance,
        address: SocketAddr,
        by: Option<Holder>,
    },
    /// A worker may not have this port, and the config does not give it.
    PrivilegedPort {
        instance: Instance,
        address: ListenAddress,
    },
    /// A process that does not descend from this supervisor has asked for a listener.
    Stranger { pid: i32, uid: u32 },
    /// A process asks for more listeners than the supervisor keeps for one, or for all.
    TooMuch { pid: i32 },
    /// The kernel does not tell whether this worker's loop is free.
    Blind { pid: i32 },
    /// The kernel does not tell which connections are open.
    Uncounted,
    /// No more connections can be accepted for want of descriptors; they wait in the backlog.
    OutOfDescriptors { limit: u64, reason: Option<String> },
    /// As many clients are connected as may be; others wait in the backlog.
    Crowded { limit: usize },
    /// Connections from this address are closed: it has its full share of `limit` connections.
    TurnedAway { address: IpAddr, limit: usize },
    /// Something else than HTTP is spoken at a listener whose requests are placed.
    Foreign {
        address: ListenAddress,
        what: Foreign,
    },
    /// A certificate has changed, and cannot be used as it is.
    Certificate { reason: String },
    /// The workers of a process group have nothing to do any more, which was asked.
    Drained { group: i32 },
    /// Nothing is left of what was to be finished after the successor had taken over.
    HandedOver,
    /// A request could not be served as it should.
    RequestFailed {
        address: ListenAddress,
        /// The request's number, which stands in the client's error.
        id: u64,
        /// The instance that had it.
        instance: Option<Instance>,
        status: u16,
        reason: &'static str,
        /// The response had begun already.
        cut: bool,
        /// How many failures before it were not reported.
        unsaid: u64,
    },
    /// How many more have failed, and were not reported one by one.
    RequestsFailed { count: u64 },
    /// A worker's event loop stands still.
    Blocked {
        member: MemberId,
        pid: i32,
        instance: Instance,
        /// For so long, at least.
        lasts: Duration,
    },
    /// It does not any more: it has turned, or the worker listens no more.
    Unblocked { member: MemberId, turned: bool },
    /// Whether clients wait while no worker is up.
    Starving(bool),
    /// Connections were given up after they had waited too long.
    Refused { address: ListenAddress, total: u64 },
}
