//! What a client's step works with beside the client itself: parts with names of their own. What
//! needs one of them is given that one.

use crate::Settings;
use crate::downstream::handshakes::Handshakes;
use crate::hand_over::adopted::Adopted;
use crate::hand_over::successor::Heir;
use crate::io::Io;
use crate::limits::Limits;
use crate::listener::Listeners;
use crate::outcome::Outcomes;
use crate::ready::Ready;
use crate::upstream::Upstream;

/// The parts of the proxy, without its clients.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) io: Io,
    pub(crate) listeners: Listeners,
    pub(crate) upstream: Upstream,
    pub(crate) limits: Limits,
    pub(crate) ready: Ready,
    pub(crate) outcomes: Outcomes,
    /// The threads for TLS handshakes; none without TLS.
    pub(crate) handshakes: Option<Handshakes>,
    /// Requests that another proxy has in progress.
    pub(crate) adopted: Adopted,
    /// Who comes after this proxy.
    pub(crate) heir: Heir,
    /// The app stops.
    pub(crate) is_closing: bool,
}

impl Context {
    /// Whether clients' connections go on after a response. One with TLS cannot move to a successor.
    pub(crate) fn keeps_clients(&self, is_tls: bool) -> bool {
        let stays = is_tls && self.heir.is_known();
        !self.is_closing && !self.limits.capacity.is_pressed && !stays
    }
}
