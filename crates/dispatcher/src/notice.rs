//! What the supervisor hears of the dispatcher.

use std::net::SocketAddr;
use std::time::Duration;

use balance::MemberId;
use process::sockets::Holder;
use telemetry::events::Event;
use telemetry::figures::Foreign;
use telemetry::ids::Instance;

use super::address::ListenAddress;

/// What happened that others should know.
#[derive(Debug)]
pub enum Notice {
    /// An event to report, with nothing else to do.
    Event(Event),
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
        /// As people write it; of UDP with `udp:` before it.
        address: String,
        /// Who has it, where the kernel tells.
        by: Option<Holder>,
    },
    /// Something else than HTTP is spoken at a listener whose requests are placed.
    Foreign {
        address: ListenAddress,
        what: Foreign,
    },
    /// The workers of a process group have nothing to do any more, which was asked.
    Drained { group: i32 },
    /// Nothing is left of what was to be finished after the successor had taken over.
    HandedOver,
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
}

impl From<Event> for Notice {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}
