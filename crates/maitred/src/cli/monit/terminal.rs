//! The terminal: taken for the time that something is shown, and given back as it was, whatever ends it.

use std::io::{self, Stdout, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::Size;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_usize;

use super::state::State;
use super::view;

/// What a shell adds to the number of a signal that ends a program.
const BY_SIGNAL: u8 = 128;

/// The exit code when the terminal is gone: that of SIGHUP, which says the same.
pub(super) const HUNG_UP: u8 = BY_SIGNAL + 1;

/// A terminal that is ours.
pub(super) struct Terminal {
    terminal: ratatui::Terminal<CrosstermBackend<Stdout>>,
    /// The size that was drawn at.
    size: Size,
    /// The signal that asks for the end; 0 if none has come.
    signal: Arc<AtomicUsize>,
}

/// Gives the terminal back when it is dropped.
struct Taken;

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// If it cannot be set up; it is as it was then.
    pub(super) fn open() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for wanted in [SIGTERM, SIGHUP, SIGINT, SIGQUIT] {
            let number = usize::try_from(wanted).unwrap_or_default();
            register_usize(wanted, signal.clone(), number)?;
        }
        let taken = Taken::take()?;
        let terminal = ratatui::Terminal::new(CrosstermBackend::new(stdout()))?;
        // From here on it is this that gives it back.
        std::mem::forget(taken);
        Ok(Self {
            size: terminal.size().unwrap_or_default(),
            terminal,
            signal,
        })
    }

    /// The exit code, if a signal asks for the end.
    pub(super) fn ended(&self) -> Option<u8> {
        let signal = self.signal.load(Ordering::Relaxed);
        let signal = u8::try_from(signal).unwrap_or(0);
        (signal > 0).then_some(BY_SIGNAL.saturating_add(signal))
    }

    /// Whether it has another size now than it was drawn at.
    pub(super) fn is_resized(&mut self) -> bool {
        let Ok(size) = self.terminal.size() else {
            return false;
        };
        std::mem::replace(&mut self.size, size) != size
    }

    /// Draws what has changed, at the size that the terminal has now.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(super) fn draw(&mut self, state: &State) -> io::Result<()> {
        self.terminal.draw(|frame| {
            let area = frame.area();
            view::render(state, area, frame.buffer_mut());
        })?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

impl Taken {
    fn take() -> io::Result<Self> {
        // A panic, which is a fault of ours, is told on the user's own screen, whichever thread has it.
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // The other threads go on, and have nothing to draw on any more.
            let _out = stdout().lock();
            give_back();
            previous(info);
            std::process::abort();
        }));
        enable_raw_mode()?;
        let taken = Self;
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        Ok(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal that is gone takes nothing back.
fn give_back() {
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests;
