//! Carrying out what a key has ordered, beside the keys that come next.

use std::sync::mpsc::Sender;

use super::super::live::order::Order;
use super::super::shown;
use home::Home;

/// How far an order has come.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) text: String,
    pub(super) is_done: bool,
}

/// Does it, in a thread of its own, and tells what comes of it.
pub(super) fn carry_out(order: Order, home: Home, tell: Sender<Progress>) {
    let failed = tell.clone();
    let thread = std::thread::Builder::new().name("order".into());
    let work = move || {
        let done = order.act(&home, &mut |text| say(&tell, text, false));
        let done = done.unwrap_or_else(|error| format!("{error:#}"));
        say(&tell, &done, true);
    };
    if let Err(error) = thread.spawn(work) {
        say(&failed, &format!("starting a thread: {error}"), true);
    }
}

/// One line of it.
fn say(tell: &Sender<Progress>, text: &str, is_done: bool) {
    let text = text.lines().collect::<Vec<_>>().join("; ");
    let text = shown::plain(&text);
    // At its end the monitor hears nothing more.
    let _ = tell.send(Progress { text, is_done });
}
