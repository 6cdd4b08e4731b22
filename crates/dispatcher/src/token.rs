//! What the dispatcher's epoll tells of, packed into the number that each event carries.

use balance::MemberId;
use rustix::event::epoll;

use super::ids::ListenerId;

/// What an epoll event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Command,
    Listener(ListenerId),
    Channel(MemberId),
    Process(i32),
    /// The kernel tells of connections that have ended.
    Ends,
    /// A member gives connections back.
    WayBack(MemberId),
    /// A parked connection: its client says something, or leaves.
    Parked(u64),
    /// A connection of the proxy; the number is the proxy's own.
    Proxy(u64),
}

/// The lower bits of an event's data number the thing; identifiers do not reach the kind above
/// them.
pub(super) const KIND: u32 = 56;

impl Token {
    pub(crate) fn data(self) -> epoll::EventData {
        let (kind, number) = match self {
            Self::Command => (0, 0),
            Self::Listener(id) => (1, id.0),
            Self::Channel(id) => (2, id.0),
            Self::Process(pid) => (3, u64::from(pid as u32)),
            Self::Ends => (4, 0),
            Self::Proxy(number) => (5, number),
            Self::WayBack(id) => (6, id.0),
            Self::Parked(number) => (7, number),
        };
        epoll::EventData::new_u64(kind << KIND | number)
    }

    /// Whether it is about a worker's end of a request: what comes there ends what is in progress.
    pub(super) fn is_response(self) -> bool {
        matches!(self, Self::Proxy(number) if proxy::is_upstream(number))
    }

    pub(super) fn of(data: epoll::EventData) -> Option<Self> {
        let data = data.u64();
        let number = data & ((1 << KIND) - 1);
        Some(match data >> KIND {
            0 => Self::Command,
            1 => Self::Listener(ListenerId(number)),
            2 => Self::Channel(MemberId(number)),
            3 => Self::Process(number as i32),
            4 => Self::Ends,
            5 => Self::Proxy(number),
            6 => Self::WayBack(MemberId(number)),
            7 => Self::Parked(number),
            _ => return None,
        })
    }
}
