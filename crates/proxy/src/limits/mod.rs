//! What there may be, in all and of each client: connections, time, requests, repetitions.

pub(crate) mod capacity;
pub(crate) mod client_limit;
pub(crate) mod framing_rate;
pub(crate) mod idle_eviction;
pub(crate) mod retry_budget;
pub(crate) mod shares;

use crate::Settings;
use capacity::Capacity;
use client_limit::ClientLimit;
use framing_rate::FramingRate;
use retry_budget::RetryBudget;
use shares::Shares;

/// All limits, with what has been used of each.
#[derive(Debug)]
pub(crate) struct Limits {
    /// How many clients there may be.
    pub(crate) capacity: Capacity,
    /// What each client may have of this turn, and of the places.
    pub(crate) shares: Shares,
    /// How fast bodies may bring framing.
    pub(crate) framing: FramingRate,
    /// Requests that each client has in progress.
    pub(crate) per_client: ClientLimit,
    /// Repetitions that may still be had.
    pub(crate) retries: RetryBudget,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            capacity: Capacity::new(settings.max_clients),
            shares: Shares::default(),
            framing: FramingRate::default(),
            per_client: ClientLimit::new(settings.client_limit),
            retries: RetryBudget::default(),
        }
    }
}
