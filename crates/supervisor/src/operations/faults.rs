//! What a command is told of an instance that has not become what the command wants.

use std::time::Duration;

use crate::instance::Outcome;
use crate::slot::Slot;
use crate::span;
use config::{App, signal_name};
use home::Exit;

/// Whether an outcome is that nothing of an instance works: it has ended, or passes no health check.
pub(super) fn is_broken(slot: &Slot, app: &App, outcome: Outcome) -> bool {
    match outcome {
        Outcome::Exited(status) => status != Exit::Code(0) && !is_wanted(app, status),
        Outcome::Unfit => true,
        Outcome::NotUp => slot.lacks_health().is_some(),
        Outcome::Up { .. } | Outcome::Stopped | Outcome::Failed(..) | Outcome::Superseded => false,
    }
}

/// Whether an app that ends so has done what it was started for.
fn is_wanted(app: &App, status: Exit) -> bool {
    let Exit::Code(code) = status else {
        return false;
    };
    code == 0 && !app.restart.auto || app.restart.stop_exit_codes.contains(&code)
}

/// What is wrong with an outcome, if anything.
pub(super) fn fault(slot: &Slot, app: &App, outcome: Outcome) -> Option<String> {
    let name = format!("{}-{}", app.name, slot.instance);
    let still = match slot.lifecycle.current() {
        Some(run) if run.up => "; keeping the previous one",
        _ => "",
    };
    // What it was waited for.
    let awaited = slot.awaited();
    let up = match &awaited[..] {
        awaited if awaited.is_empty() || slot.waits_for_ready() => "before it was up".to_owned(),
        awaited => format!("before it listened on {}", and(awaited)),
    };
    match outcome {
        Outcome::Up { .. } | Outcome::Stopped | Outcome::Superseded => None,
        Outcome::Exited(status) if is_wanted(app, status) => None,
        Outcome::Exited(Exit::Code(code)) => Some(match &slot.not_started {
            Some(reason) => format!("{name} could not be started: {reason}{still}"),
            None => format!(
                "{name} has exited with code {code} {up}{still}{}",
                app.see_logs()
            ),
        }),
        Outcome::Exited(Exit::Signal(signal)) => Some(format!(
            "{name} was killed by {} {up}{still}{}",
            signal_name(signal),
            app.see_logs()
        )),
        Outcome::Failed(status, after) => Some(format!(
            "{name} was up for {} and {}{still}{}",
            seconds(after),
            ended(status),
            app.see_logs()
        )),
        Outcome::NotUp if slot.lacks_health().is_some() => {
            let patience = span::set(app.listen_timeout);
            let which = match slot.was_well() {
                false => format!("has passed no health check after {patience}"),
                true => format!(
                    "was up, then failed its health check and has passed none for {patience}"
                ),
            };
            let reason = slot.lacks_health().unwrap_or_default();
            Some(format!("{name} {which} (listen_timeout){still}: {reason}"))
        }
        Outcome::NotUp if slot.waits_for_ready() => Some(format!(
            "{name} has not called process.send(\"ready\") after {}{still}: wait_ready waits for \
             that, up to listen_timeout; call it when the app is ready, or leave wait_ready out",
            span::set(app.listen_timeout)
        )),
        Outcome::Unfit => slot.not_preloaded.as_ref().map(|reason| {
            let wanted = app.needs_library().unwrap_or("sharing its sockets");
            format!("{name} is stopped: {wanted} does not work with it: {reason}{still}")
        }),
        Outcome::NotUp if awaited.is_empty() => Some(format!(
            "{name} is not up after {} (listen_timeout){still}",
            span::set(app.listen_timeout)
        )),
        Outcome::NotUp => Some(format!(
            "{name} does not listen on {} after {} (listen_timeout), where the previous one \
             listens{still}. If the app listens elsewhere now, `maitred restart` does not wait for \
             that",
            and(&awaited),
            span::set(app.listen_timeout)
        )),
    }
}

/// How a process has ended, in words.
pub(super) fn ended(status: Exit) -> String {
    match status {
        Exit::Code(code) => format!("has exited with code {code}"),
        Exit::Signal(signal) => format!("was killed by {}", signal_name(signal)),
    }
}

pub(super) fn seconds(time: Duration) -> String {
    span::lasted(time)
}

/// A list in words.
pub(super) fn and(items: &[String]) -> String {
    match items {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => items.concat(),
    }
}
