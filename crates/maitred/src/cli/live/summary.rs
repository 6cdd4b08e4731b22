//! How several instances are, in a few words.

use home::control::{InstanceView, State};

/// How they are.
pub(in crate::cli) struct Summary {
    pub(in crate::cli) text: String,
    /// One of them runs, and does not work.
    pub(in crate::cli) is_unwell: bool,
    /// What the first of them does that is not online.
    pub(in crate::cli) state: State,
}

/// How instances are: what is wrong comes first.
pub(in crate::cli) fn summary<'a>(
    views: impl Iterator<Item = &'a InstanceView> + Clone,
) -> Summary {
    let count = |is: fn(&InstanceView) -> bool| views.clone().filter(|view| is(view)).count();
    let state = views
        .clone()
        .map(|view| view.state)
        .find(|state| *state != State::Online);
    let of = |text, is_unwell| Summary {
        text,
        is_unwell,
        state: state.unwrap_or(State::Online),
    };
    let blocked = count(|view| view.blocked.is_some());
    if blocked > 0 {
        return of(format!("{blocked} blocked"), true);
    }
    let unhealthy = count(|view| view.unhealthy.is_some());
    if unhealthy > 0 {
        return of(format!("{unhealthy} unhealthy"), true);
    }
    let all = views.clone().count();
    let online = count(|view| view.state == State::Online);
    let text = match state {
        None if all == 0 => "no instances".to_owned(),
        None => format!("{all} online"),
        Some(_) if online > 0 => format!("{online}/{all} online"),
        Some(state) => state.word().to_owned(),
    };
    of(text, false)
}
