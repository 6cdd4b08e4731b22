//! A process that has connected, and executes a program with the set-user-ID bit then: the kernel gives
//! it root's capabilities, and they are not for it to use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::{NOBODY, is_root};
use crate::agent::capabilities_of;
use crate::harness::Setup;
use crate::victims::compile;

/// An app whose agent becomes such a program; whether that has capabilities here.
pub(super) fn becoming(setup: Setup) -> (Setup, bool) {
    let program = setup.folder().join("raised");
    fs::copy(compile("gcc", "agent", setup.folder()), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let is_raised = gets_capabilities(&program);
    (setup.env("AGENT_BECOMES", program), is_raised)
}

/// Whether the kernel gives another user's process what the bit promises. It does not where the file
/// system or a container forbids it, nor for a file that is not root's.
fn gets_capabilities(program: &Path) -> bool {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY);
    }
    let mut child = command.spawn().unwrap();
    let pid = child.id().cast_signed();
    // `spawn` comes back when it has been executed.
    let has = capabilities_of(pid) != 0;
    child.kill().unwrap();
    child.wait().unwrap();
    has
}
