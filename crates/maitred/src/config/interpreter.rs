//! Which program runs a script.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use super::Interpreter;

/// A script and what runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The script, or the program itself.
    pub(crate) script: PathBuf,
    /// What runs it, unless it runs itself.
    pub(crate) interpreter: Option<Interpreter>,
    /// What comes before the user's own arguments: the interpreter's, where there is none.
    pub(crate) args: Vec<OsString>,
}

/// Finds the program that runs `script`: the interpreter named, the one that its extension asks
/// for, or the script itself. Relative paths start at `cwd`.
///
/// # Errors
/// Says what is missing, and what would help.
pub(crate) fn resolve(
    script: &OsStr,
    cwd: &Path,
    interpreter: Option<&str>,
    interpreter_args: &[OsString],
) -> anyhow::Result<Program> {
    let path = cwd.join(script);
    let shown = script.to_string_lossy().escape_debug().to_string();
    let found = fs::metadata(&path);
    let found = match found {
        Ok(meta) if meta.is_dir() => bail!("{shown} is a folder; name the script to run in it"),
        Ok(meta) => Some(meta),
        Err(_) => None,
    };
    if let Some(interpreter) = interpreter.filter(|name| *name != "none") {
        if found.is_none() {
            bail!(missing(&shown, cwd));
        }
        let program = match interpreter.strip_prefix("node@") {
            Some(version) => nvm(version)?,
            None => match find(OsStr::new(interpreter), cwd) {
                Some(program) => program,
                None => bail!("the interpreter {interpreter} is not installed: it is not in PATH"),
            },
        };
        let args = arguments(interpreter, interpreter_args);
        return Ok(with_script(program, args, path));
    }
    let Some(meta) = found else {
        // As a shell does, a bare name is looked for in PATH.
        if !script.to_string_lossy().contains('/')
            && let Some(program) = find(script, cwd)
        {
            return Ok(by_itself(program, interpreter_args));
        }
        bail!(missing(&shown, cwd));
    };
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or("");
    if let Some(candidates) = candidates(extension)
        && interpreter.is_none()
    {
        for name in candidates {
            if let Some(program) = find(OsStr::new(name), cwd)
                && (*name != "node" || !is_typescript(extension) || strips_types(&program))
            {
                let args = arguments(name, interpreter_args);
                return Ok(with_script(program, args, path));
            }
        }
        if candidates.len() > 1 {
            bail!(
                "nothing is installed that runs {shown}: it takes bun, deno, or a node that \
                 strips types (22.18 or later), in PATH; or name another with --interpreter"
            );
        }
        bail!(
            "{} is not installed, which runs {shown}: it is not in PATH; or name another with \
             --interpreter",
            candidates.join(", ")
        );
    }
    if meta.permissions().mode() & 0o111 == 0 {
        // A file such as bin/www of Express: its first line tells, or else it is JavaScript.
        if extension.is_empty() && interpreter.is_none() {
            let name = shebang(&path).unwrap_or_else(|| "node".into());
            let Some(program) = find(&name, cwd) else {
                bail!(
                    "{} is not installed, which runs {shown}",
                    name.to_string_lossy()
                );
            };
            let args = arguments(&name.to_string_lossy(), interpreter_args);
            return Ok(with_script(program, args, path));
        }
        bail!(
            "{shown} cannot be run: it is not executable, and its name does not tell its \
             interpreter; name one with --interpreter"
        );
    }
    Ok(by_itself(path, interpreter_args))
}

fn missing(script: &str, cwd: &Path) -> String {
    format!("no such script: {script} (looked for in {})", cwd.display())
}

fn by_itself(script: PathBuf, args: &[OsString]) -> Program {
    Program {
        script,
        interpreter: None,
        args: args.to_vec(),
    }
}

fn with_script(path: PathBuf, args: Vec<OsString>, script: PathBuf) -> Program {
    Program {
        script,
        interpreter: Some(Interpreter { path, args }),
        args: Vec::new(),
    }
}

/// The interpreters for an extension, the best first.
fn candidates(extension: &str) -> Option<&'static [&'static str]> {
    Some(match extension {
        "ts" | "tsx" | "mts" | "cts" => &["bun", "deno", "node"],
        "js" | "mjs" | "cjs" => &["node"],
        "py" => &["python3"],
        "sh" => &["bash"],
        "rb" => &["ruby"],
        "php" => &["php"],
        _ => return None,
    })
}

pub(super) fn is_typescript(extension: &str) -> bool {
    matches!(extension, "ts" | "tsx" | "mts" | "cts")
}

/// The interpreter's own arguments. Deno wants a command, and permissions to serve at all.
fn arguments(interpreter: &str, given: &[OsString]) -> Vec<OsString> {
    const COMMANDS: [&str; 3] = ["run", "serve", "task"];
    const DEFAULTS: [&str; 3] = ["--allow-net", "--allow-env", "--allow-read"];
    let is_deno = Path::new(interpreter).file_name() == Some(OsStr::new("deno"));
    let mut args = Vec::new();
    if is_deno && !given.iter().any(|arg| COMMANDS.iter().any(|it| arg == it)) {
        args.push("run".into());
        if given.is_empty() {
            args.extend(DEFAULTS.map(OsString::from));
        }
    }
    args.extend(given.iter().cloned());
    args
}

/// Looks a program up: in PATH, or where its path says.
pub(super) fn find(name: &OsStr, cwd: &Path) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.to_string_lossy().contains('/') {
        return Some(cwd.join(name)).filter(is_program);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| cwd.join(folder).join(name))
        .find(is_program)
}

/// The interpreter that a script's first line names, as in `#!/usr/bin/env node`.
fn shebang(script: &Path) -> Option<OsString> {
    let mut start = Vec::new();
    fs::File::open(script)
        .ok()?
        .take(256)
        .read_to_end(&mut start)
        .ok()?;
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_whitespace();
    let program = words.next()?;
    let named = if program.ends_with("/env") {
        words.find(|word| !word.starts_with('-'))?
    } else {
        program
    };
    Some(named.into())
}

/// A node of this version that nvm has installed: the newest, where only its beginning is given.
fn nvm(version: &str) -> anyhow::Result<PathBuf> {
    let numbers = |text: &str| -> Option<Vec<u32>> {
        text.split('.').map(|number| number.parse().ok()).collect()
    };
    let version = version.trim_start_matches('v');
    let Some(wanted) = numbers(version) else {
        bail!("node@{} names no version", version.escape_debug());
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
            folder.display()
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

    fn script(name: &str, mode: u32) -> (tempfile::TempDir, OsString) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path.into())
    }

    #[test]
    fn the_extension_tells_the_interpreter() {
        let (folder, path) = script("job.sh", 0o644);
        let program = resolve(&path, folder.path(), None, &["-x".into()]).unwrap();
        assert_eq!(program.script, PathBuf::from(path));
        let interpreter = program.interpreter.unwrap();
        assert!(interpreter.path.ends_with("bash"));
        assert_eq!(interpreter.args, ["-x"]);
        assert!(program.args.is_empty());
    }

    #[test]
    fn an_executable_runs_as_it_is() {
        let (folder, path) = script("job", 0o755);
        let program = resolve(&path, folder.path(), None, &["-x".into()]).unwrap();
        assert_eq!(program.script, PathBuf::from(path));
        assert_eq!(program.interpreter, None);
        assert_eq!(program.args, ["-x"]);
    }

    #[test]
    fn a_bare_name_is_looked_for_in_path() {
        let folder = tempfile::tempdir().unwrap();
        let program = resolve(OsStr::new("sh"), folder.path(), None, &[]).unwrap();
        assert!(program.script.ends_with("sh"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let (folder, path) = script("job.x", 0o644);
        let error = |script: &OsStr, interpreter| {
            resolve(script, folder.path(), interpreter, &[])
                .unwrap_err()
                .to_string()
        };
        assert!(error(OsStr::new("gone.ts"), None).contains("no such script: gone.ts"));
        assert!(error(&path, None).contains("not executable"));
        assert!(error(&path, Some("no-such-runtime")).contains("no-such-runtime is not installed"));
        assert!(error(OsStr::new("."), None).contains("is a folder"));
    }

    #[test]
    fn deno_is_given_a_command() {
        let run = ["run", "--allow-net", "--allow-env", "--allow-read"];
        assert_eq!(arguments("deno", &[]), run.map(OsString::from));
        assert_eq!(
            arguments("/opt/deno", &["-A".into()]),
            ["run", "-A"].map(OsString::from)
        );
        let own = ["serve", "--port=1"].map(OsString::from);
        assert_eq!(arguments("deno", &own), own);
        assert_eq!(arguments("bun", &[]), Vec::<OsString>::new());
    }

    #[test]
    fn only_an_elf_without_interpreter_is_static() {
        assert!(!is_static(&std::env::current_exe().unwrap()));
        assert!(!is_static(Path::new("/etc/passwd")));
        assert!(!is_static(Path::new("/no/such")));
        let (_folder, path) = script("odd", 0o755);
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0xff);
        fs::write(&path, &elf).unwrap();
        assert!(!is_static(Path::new(&path)));
        elf[32..40].copy_from_slice(&64u64.to_le_bytes());
        elf[54..58].copy_from_slice(&[56, 0, 1, 0]);
        elf.extend([1, 0, 0, 0]);
        fs::write(&path, &elf).unwrap();
        assert!(is_static(Path::new(&path)));
    }
}
