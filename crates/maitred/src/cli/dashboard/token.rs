//! The token that the dashboard asks for.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use rustix::rand::{GetRandomFlags, getrandom};

/// So many bytes cannot be guessed.
const LENGTH: usize = 32;

/// No more is read of a file.
const LONGEST: u64 = 4096;

/// One that nobody has had before.
///
/// # Errors
/// If the kernel gives no random bytes.
pub(super) fn random() -> anyhow::Result<String> {
    let mut bytes = [0; LENGTH];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += getrandom(rest, GetRandomFlags::empty()).context("making a token")?;
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The one that stands in a file.
///
/// # Errors
/// If it cannot be read, others can read it, or it could be guessed.
pub(super) fn from_file(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("reading {shown}"))?;
    let metadata = file
        .metadata()
        .with_context(|| format!("reading {shown}"))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("{shown} can be read by other users; `chmod 600 {shown}` ends that");
    }
    let mut text = String::new();
    let read = file.take(LONGEST).read_to_string(&mut text);
    read.with_context(|| format!("reading {shown}"))?;
    let token = text.trim();
    if !dashboard::is_long_enough(token) {
        bail!(
            "{shown} holds no token: a token is one word of 16 characters or more, such as `openssl rand \
             -hex 32` makes"
        );
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_differ() {
        let token = random().unwrap();
        assert_eq!(token.len(), 2 * LENGTH);
        assert!(dashboard::is_long_enough(&token));
        assert_ne!(token, random().unwrap());
    }
}
