//! Programs on this machine: where they are, and what they can.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
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
        bail!("node@{version} takes nvm, and NVM_DIR does not tell where it is");
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

/// Whether a program is one that no library can be preloaded into: an ELF executable without a
/// program interpreter.
pub(crate) fn is_static(program: &Path) -> bool {
    const PT_INTERP: u32 = 3;
    let Ok(mut file) = fs::File::open(program) else {
        return false;
    };
    let mut header = [0; 4096];
    let Ok(len) = file.read(&mut header) else {
        return false;
    };
    let header = header.get(..len).unwrap_or(&[]);
    // ELF64, little-endian: the table of segments begins at e_phoff, with e_phnum entries.
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return false;
    }
    fn bytes<const N: usize>(header: &[u8], at: usize) -> Option<[u8; N]> {
        header.get(at..)?.first_chunk().copied()
    }
    let number = |at| Some(usize::from(u16::from_le_bytes(bytes(header, at)?)));
    let segments = || {
        let start = usize::try_from(u64::from_le_bytes(bytes(header, 32)?)).ok()?;
        let (size, count) = (number(54)?, number(56)?);
        (0..count)
            .map(|index| bytes(header, start.checked_add(size * index)?).map(u32::from_le_bytes))
            .collect::<Option<Vec<u32>>>()
    };
    segments().is_some_and(|kinds| !kinds.contains(&PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_elf_without_interpreter_is_static() {
        assert!(!is_static(&std::env::current_exe().unwrap()));
        assert!(!is_static(Path::new("/etc/passwd")));
        assert!(!is_static(Path::new("/no/such")));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd");
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0xff);
        fs::write(&path, &elf).unwrap();
        assert!(!is_static(&path));
        elf[32..40].copy_from_slice(&64u64.to_le_bytes());
        elf[54..58].copy_from_slice(&[56, 0, 1, 0]);
        elf.extend([1, 0, 0, 0]);
        fs::write(&path, &elf).unwrap();
        assert!(is_static(&path));
    }
}
