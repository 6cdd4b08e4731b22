//! Programs on this machine: where they are, and what they can.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use super::words::told;

/// Where programs are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// Where relative paths start.
    pub(super) cwd: &'a Path,
    /// The folders, as the variable PATH has them.
    pub(super) path: &'a OsStr,
}

impl Places<'_> {
    /// Looks a program up: in PATH, or where its own path says.
    pub(super) fn find(&self, name: impl AsRef<OsStr>) -> Option<PathBuf> {
        let name = name.as_ref();
        let is_program = |path: &PathBuf| {
            fs::metadata(path)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        };
        if name.to_string_lossy().contains('/') {
            return Some(self.cwd.join(name)).filter(is_program);
        }
        std::env::split_paths(self.path)
            .map(|folder| self.cwd.join(folder).join(name))
            .find(is_program)
    }
}

/// A node of this version that nvm has installed: the newest, where only its beginning is given.
pub(super) fn nvm(version: &str) -> anyhow::Result<PathBuf> {
    let numbers = |text: &str| -> Option<Vec<u32>> {
        text.split('.').map(|number| number.parse().ok()).collect()
    };
    let version = version.trim_start_matches('v');
    let Some(wanted) = numbers(version) else {
        bail!("node@{} names no version", told(version));
    };
    let Some(folder) = std::env::var_os("NVM_DIR").filter(|it| !it.is_empty()) else {
        bail!("node@{version} is found by nvm, whose folder NVM_DIR has to name: it is not set");
    };
    let folder = Path::new(&folder).join("versions/node");
    let installed = fs::read_dir(&folder).into_iter().flatten().flatten();
    let newest = installed
        .filter_map(|entry| numbers(entry.file_name().to_str()?.strip_prefix('v')?))
        .filter(|numbers| numbers.starts_with(&wanted))
        .max();
    let Some(newest) = newest else {
        bail!(
            "node {version} is not installed in {}: run nvm install {version}",
            told(&folder)
        );
    };
    let name: Vec<_> = newest.iter().map(u32::to_string).collect();
    Ok(folder.join(format!("v{}/bin/node", name.join("."))))
}

/// Whether this node runs TypeScript as it is: 22.18 and later, 23.6 and later.
pub(super) fn strips_types(node: &Path) -> bool {
    let Ok(output) = Command::new(node).arg("--version").output() else {
        return false;
    };
    let version = String::from_utf8_lossy(&output.stdout);
    let mut numbers = version
        .trim()
        .trim_start_matches('v')
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(22), Some(minor)) => minor >= 18,
        (Some(23), Some(minor)) => minor >= 6,
        (Some(major), _) => major > 23,
        _ => false,
    }
}

/// Why a program cannot be given its sockets by a library: what it is, as the end of a sentence
/// that begins with its name. `None` for all that is no ELF executable of 64 bits.
pub fn takes_no_library(program: &Path) -> Option<&'static str> {
    let segments = segments(&fs::File::open(program).ok()?)?;
    if !segments.iter().any(|it| it.kind == Segment::INTERPRETER) {
        return Some("is statically linked");
    }
    // Also where it is linked with libc, for the sake of cgo: sockets are Go's own.
    let is_go = segments.iter().any(|it| it.has_note(b"Go\0\0"));
    is_go.then_some("is written in Go, which makes its system calls itself")
}

/// A segment of an ELF file, with the beginning of its bytes if they are notes.
struct Segment {
    kind: u32,
    notes: Vec<u8>,
}

impl Segment {
    const INTERPRETER: u32 = 3;
    const NOTE: u32 = 4;
    /// No more of a file is read than this many segments and bytes of notes.
    const MOST: u16 = 256;
    const NOTES: u64 = 64 << 10;

    /// Whether there is a note by this owner, whose name is given with its zero bytes.
    fn has_note(&self, owner: &[u8]) -> bool {
        let mut rest = &*self.notes;
        // Length of the name, of what it says, the note's type; then both, each padded to 4.
        while let Some(name) = number::<4>(rest, 0)
            && let Some(said) = number::<4>(rest, 4)
        {
            let padded = name.next_multiple_of(4);
            if rest.get(12..).is_some_and(|rest| rest.starts_with(owner)) && name <= 4 {
                return true;
            }
            let next = 12 + padded + said.next_multiple_of(4);
            rest = usize::try_from(next)
                .ok()
                .and_then(|next| rest.get(next..))
                .unwrap_or(&[]);
        }
        false
    }
}

/// The segments of an ELF file of 64 bits, little-endian: their table begins at `e_phoff`, with
/// `e_phnum` entries.
fn segments(file: &fs::File) -> Option<Vec<Segment>> {
    use std::os::unix::fs::FileExt;
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).ok()?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let start = number::<8>(&header, 32)?;
    let (size, count) = (number::<2>(&header, 54)?, number::<2>(&header, 56)?);
    let entries = (0..count.min(u64::from(Segment::MOST))).map(|index| {
        let mut entry = [0; 56];
        let at = start.checked_add(size * index)?;
        file.read_exact_at(&mut entry, at).ok()?;
        let kind = u32::try_from(number::<4>(&entry, 0)?).ok()?;
        let mut notes = Vec::new();
        if kind == Segment::NOTE {
            let length = number::<8>(&entry, 32)?.min(Segment::NOTES);
            notes.resize(usize::try_from(length).ok()?, 0);
            let read = file.read_at(&mut notes, number::<8>(&entry, 8)?);
            notes.truncate(read.ok()?);
        }
        Some(Segment { kind, notes })
    });
    entries.collect()
}

/// A number of so many bytes, at most 8, at a place.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let number: [u8; N] = *bytes.get(at..)?.first_chunk()?;
    let mut eight = [0; 8];
    eight.get_mut(..N)?.copy_from_slice(&number);
    Some(u64::from_le_bytes(eight))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with these segments: kinds, and what is in them.
    fn elf(segments: &[(u32, &[u8])]) -> Vec<u8> {
        let count = segments.len();
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64 + 56 * count, 0);
        elf[32..40].copy_from_slice(&64u64.to_le_bytes());
        elf[54..58].copy_from_slice(&[56, 0, u8::try_from(count).unwrap(), 0]);
        for (index, (kind, bytes)) in segments.iter().enumerate() {
            let (start, at) = (elf.len() as u64, 64 + 56 * index);
            elf[at..at + 4].copy_from_slice(&kind.to_le_bytes());
            elf[at + 8..at + 16].copy_from_slice(&start.to_le_bytes());
            elf[at + 32..at + 40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
            elf.extend_from_slice(bytes);
        }
        elf
    }

    #[test]
    fn programs_that_take_no_library_are_known_by_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let verdict = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            takes_no_library(&path)
        };
        let interpreter = (3, b"/lib64/ld-linux-x86-64.so.2\0".as_slice());
        let gnu = b"\x04\0\0\0\x03\0\0\0\x03\0\0\0GNU\0abc\0";
        let go = b"\x04\0\0\0\x05\0\0\0\x04\0\0\0Go\0\0build\0\0\0";
        let both = [gnu.as_slice(), go].concat();
        let is_static = Some("is statically linked");
        assert_eq!(verdict(&elf(&[(1, b"")])), is_static);
        assert_eq!(verdict(&elf(&[])), is_static);
        assert_eq!(verdict(&elf(&[(1, b""), interpreter])), None);
        assert_eq!(verdict(&elf(&[interpreter, (4, gnu)])), None);
        for notes in [go.as_slice(), &both] {
            let verdict = verdict(&elf(&[interpreter, (4, notes)]));
            assert!(verdict.unwrap().contains("Go"), "{notes:?}");
        }
        // Notes that say more than there is.
        let endless = [255; 12];
        assert_eq!(verdict(&elf(&[interpreter, (4, &endless)])), None);
        let mut beyond = elf(&[interpreter]);
        beyond[32..40].fill(0xff);
        assert_eq!(verdict(&beyond), None);
        assert_eq!(verdict(b"#!/bin/sh\n"), None);
        assert_eq!(takes_no_library(&std::env::current_exe().unwrap()), None);
        assert_eq!(takes_no_library(Path::new("/no/such")), None);
    }
}
