//! A panic while the terminal is ours. The test runs itself at a terminal of its own, and panics there.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::*;

/// Says who panics, to the test that was started at a terminal.
const ROLE: &str = "TEST_WHO_PANICS";

/// Takes the terminal, and panics.
fn panics(who: &str) {
    let mut terminal = Terminal::open().unwrap();
    let state = State::new(false);
    terminal.draw(&state).unwrap();
    if who == "main" {
        panic!("a fault of ours");
    }
    std::thread::spawn(|| panic!("a fault of ours"));
    // The others would go on, and draw over what the user has got back.
    loop {
        terminal.size = Size::default();
        terminal.terminal.clear().unwrap();
        terminal.draw(&state).unwrap();
    }
}

/// Runs this test at a terminal, where somebody panics; all that it writes there.
fn at_a_terminal(who: &str) -> String {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
    let theirs = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name)
        .unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&ours, size).unwrap();
    let before = tcgetattr(&theirs).unwrap();
    assert!(
        before
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO)
    );
    let end = || Stdio::from(OwnedFd::from(theirs.try_clone().unwrap()));
    let test = "a_panic_gives_the_terminal_back";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--nocapture", "--test-threads=1"])
        .env(ROLE, who)
        .env("TERM", "xterm")
        .env("RUST_BACKTRACE", "0")
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    let mut reader = std::fs::File::from(ours.try_clone().unwrap());
    let reading = std::thread::spawn(move || {
        let mut written = Vec::new();
        let mut chunk = [0; 4096];
        // Until the last of the other ends is closed, which the kernel tells as an error.
        while let Ok(length @ 1..) = reader.read(&mut chunk) {
            written.extend_from_slice(&chunk[..length]);
        }
        String::from_utf8_lossy(&written).into_owned()
    });
    let status = child.wait().unwrap();
    let after = tcgetattr(&theirs).unwrap();
    drop(theirs);
    let written = reading.join().unwrap();
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{written}");
    assert_eq!(after.local_modes, before.local_modes, "{who}");
    assert_eq!(after.input_modes, before.input_modes, "{who}");
    assert_eq!(after.output_modes, before.output_modes, "{who}");
    written
}

#[test]
fn a_panic_gives_the_terminal_back() {
    if let Ok(who) = std::env::var(ROLE) {
        return panics(&who);
    }
    for who in ["main", "another thread"] {
        let written = at_a_terminal(who);
        let (_, shown) = written.split_once("\x1b[?1049h").unwrap();
        let (_, after) = shown.split_once("\x1b[?1049l").unwrap();
        // The cursor is there again, the fault is told, and nothing is drawn any more.
        let (cursor, told) = after.split_once("\x1b[?25h").unwrap();
        assert_eq!(cursor, "", "{who}");
        assert!(told.contains("a fault of ours"), "{who}: {told:?}");
        assert!(!told.contains('\x1b'), "{who}: {told:?}");
    }
}
