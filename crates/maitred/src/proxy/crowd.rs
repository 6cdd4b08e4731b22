//! Where nearly as many clients are connected as may be: those who want nothing make room.

use balance::Nanos;

use super::Proxy;
use super::client::{Client, Phase};
use super::h2::Standing;

/// Who has said nothing for so long may have to go.
const SILENT: Nanos = 1_000_000_000;

/// What part of all places is kept free, if it can be: one in so many.
const SPARE: usize = 8;

impl Proxy {
    /// Closes connections over which nothing is asked, those first over which nothing has been
    /// asked for the longest time, so that newcomers need not wait for the idle ones' time limit.
    /// Any client may have to connect again; a request in progress is not touched.
    pub(super) fn make_room(&mut self) {
        let most = self.settings.max_clients;
        let spare = most / SPARE;
        let too_many = (self.clients.len() + spare).saturating_sub(most);
        if too_many == 0 {
            return;
        }
        let clients = self.clients.iter();
        let mut idle: Vec<_> = clients
            .filter_map(|(key, client)| Some((idle_since(client)?, key)))
            .filter(|(since, _)| self.now.saturating_sub(*since) >= SILENT)
            .collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        for (_, key) in idle.into_iter().take(too_many) {
            self.drop_client(key);
        }
    }
}

/// Since when a client has asked nothing.
fn idle_since(client: &Client) -> Option<Nanos> {
    match client.phase {
        Phase::Reading { since, .. }
            if client.link.input.is_empty() && !client.link.is_clogged() =>
        {
            Some(since)
        }
        Phase::Session(ref session) if session.standing() == Standing::Idle => {
            Some(client.active_at)
        }
        _ => None,
    }
}
