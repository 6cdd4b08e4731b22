//! Staying with apps that were started: their output here, and their end with ours.

use std::io::{BufWriter, IsTerminal, stderr, stdout};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Context;
use rustix::process::{Signal, WaitOptions, wait};

use super::app_logs::AppLogs;
use super::order::Order;
use super::{Manner, together};
use crate::apps::{self, Action};
use home::Home;
pub(super) use logs::view::{self, Form, Request, View};

/// How many lines are shown of those that were written before.
const LINES: usize = 15;

/// Shows what the apps of these names write, until Ctrl-C.
///
/// # Errors
/// If nobody reads it any more, or the logs cannot be read.
pub(super) fn follow(names: &[String], manner: &Manner) -> anyhow::Result<()> {
    follow_until(names, None, manner)
}

/// The same, to an end that can be read from `until`.
fn follow_until(
    names: &[String],
    until: Option<Arc<OwnedFd>>,
    manner: &Manner,
) -> anyhow::Result<()> {
    let mut catalog = AppLogs::of(names)?;
    let out = stdout();
    let terminal = out.is_terminal();
    let request = Request {
        lines: LINES,
        only: None,
        follow: true,
        on_stdout: true,
        until,
        target: names.join(" "),
        view: View {
            form: Form::Pretty,
            headers: true,
            timestamp: None,
            highlight: None,
            terminal: terminal || stderr().is_terminal(),
            colours: together::colours(manner, &out),
        },
    };
    let mut out = BufWriter::new(out.lock());
    view::show(&mut catalog, &request, &mut out, &mut stderr())
}

/// The same, and stops the apps when a signal asks this process to end; ends too when all of them
/// have ended. The exit code: the highest of theirs.
///
/// # Errors
/// If the system refuses what is needed to begin with.
pub(super) fn stay(home: Home, names: Vec<String>, manner: &Manner) -> anyhow::Result<u8> {
    sys::block_signals().context("blocking signals")?;
    let selected = together::selected(&home, &names)?;
    let (stopped, speaks) = (names.clone(), manner.clone());
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            wait_for_the_end();
            let code = stop(&home, &stopped, &speaks);
            std::process::exit(code);
        })
        .context("starting the signals' thread")?;
    let (over, ends) = std::io::pipe().context("making a pipe")?;
    let waiting = std::thread::Builder::new()
        .name("ends".into())
        .spawn(move || {
            // Its end of the pipe closes when all of them have ended.
            let _ends = ends;
            let codes = apps::side_by_side(&selected, |one| one.known.wait_for_its_end());
            codes.into_iter().max().unwrap_or(0)
        })
        .context("starting a thread that waits for the apps")?;
    if let Err(error) = follow_until(&names, Some(Arc::new(over.into())), manner) {
        // Nobody sees the output any more; the apps are there all the same.
        together::complain_of(&error);
    }
    Ok(waiting.join().unwrap_or(1))
}

/// Waits for a signal that asks to end. As process 1 of a container we have orphans, too.
fn wait_for_the_end() {
    while let Ok(arrived) = sys::next_signal() {
        match arrived.signal {
            Signal::INT | Signal::TERM | Signal::QUIT | Signal::HUP => return,
            Signal::CHILD => while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {},
            _ => {}
        }
    }
}

/// Stops the apps; the exit code. Standard output is not ours to write to: the logs have it.
fn stop(home: &Home, names: &[String], manner: &Manner) -> i32 {
    let selected = match together::selected(home, names) {
        Ok(selected) => selected,
        // Somebody has deleted one of them.
        Err(error) => {
            together::complain_of(&error);
            return 1;
        }
    };
    let own: Vec<_> = selected.iter().map(|one| &one.known.record.app).collect();
    let results = Order::among(&own).backward(&|number| {
        let one = selected.get(number)?;
        Some(one.act(home, &Action::Stop, &mut |_| {}))
    });
    let mut code = 0;
    for (selected, result) in selected.iter().zip(results) {
        let name = &selected.known.record.app.name;
        match result.flatten() {
            Some(Ok(())) => together::say(manner, &format!("{name}: stopped")),
            Some(Err(error)) => {
                together::complain_of(&error);
                code = 1;
            }
            None => {}
        }
    }
    code
}
