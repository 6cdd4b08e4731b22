//! Which program runs a script.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::Interpreter;
use super::programs::{Places, nvm, strips_types};
use super::runtime;
use super::words::told;

/// A script and what runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The script, or the program itself.
    pub(crate) script: PathBuf,
    /// What runs it, unless it runs itself.
    pub(crate) interpreter: Option<Interpreter>,
    /// What comes before the user's own arguments: the interpreter's, where there is none.
    pub(crate) args: Vec<OsString>,
    /// Why this runs it, as a clause without a subject.
    pub(crate) reason: String,
    /// What speaks against it.
    pub(crate) warning: Option<String>,
}

/// Finds the program that runs `script`: the interpreter named, the one that its project or its
/// extension asks for, or the script itself.
///
/// # Errors
/// Says what is missing, and what would help.
pub(crate) fn resolve(
    script: &OsStr,
    places: &Places,
    interpreter: Option<&str>,
    interpreter_args: &[OsString],
) -> anyhow::Result<Program> {
    let path = places.cwd.join(script);
    let shown = told(script);
    let found = fs::metadata(&path);
    let found = match found {
        Ok(meta) if meta.is_dir() => bail!("{shown} is a folder; name the script to run in it"),
        Ok(meta) if !meta.is_file() => bail!("{shown} is no file that could be run"),
        Ok(meta) => Some(meta),
        Err(_) => None,
    };
    if let Some(interpreter) = interpreter.filter(|name| *name != "none") {
        if found.is_none() {
            bail!(missing(&path, &shown, places.cwd));
        }
        let program = match interpreter.strip_prefix("node@") {
            Some(version) => nvm(version)?,
            None => match places.find(interpreter) {
                Some(program) => program,
                None => bail!(
                    "the interpreter {} is not in PATH: install it, or name its path",
                    told(interpreter)
                ),
            },
        };
        let args = arguments(interpreter, interpreter_args);
        let reason = "named by interpreter".to_owned();
        return Ok(with_script(program, args, path, reason));
    }
    let Some(meta) = found else {
        // As a shell does, a bare name is looked for in PATH.
        if !script.to_string_lossy().contains('/')
            && let Some(program) = places.find(script)
        {
            let reason = "a program in PATH".to_owned();
            return Ok(by_itself(program, interpreter_args, reason));
        }
        bail!(missing(&path, &shown, places.cwd));
    };
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or("");
    if let Some(candidates) = candidates(extension)
        && interpreter.is_none()
    {
        return by_extension(
            &path,
            &shown,
            extension,
            candidates,
            places,
            interpreter_args,
        );
    }
    let executable = meta.permissions().mode() & 0o111 != 0;
    // A file such as bin/www of Express: its first line tells, or else it is JavaScript. One that
    // can run itself does so, unless there are arguments for its interpreter.
    let named = shebang(&path);
    let by_interpreter = !executable || (named.is_some() && !interpreter_args.is_empty());
    if by_interpreter && extension.is_empty() && interpreter.is_none() {
        let reason = match &named {
            Some(_) => "named by the script's first line",
            None => "runs scripts whose name has no extension",
        };
        let name = named.unwrap_or_else(|| "node".into());
        let Some(program) = places.find(&name) else {
            let name = name.to_string_lossy();
            bail!(
                "{}, which runs {shown}, is not in PATH: install it, or name another with \
                 --interpreter",
                told(name.as_ref())
            );
        };
        let args = arguments(&name.to_string_lossy(), interpreter_args);
        return Ok(with_script(program, args, path, reason.to_owned()));
    }
    if !executable {
        bail!(
            "{shown} cannot be run: it is not executable, and its name does not tell its \
             interpreter; name one with --interpreter"
        );
    }
    Ok(by_itself(path, interpreter_args, "executable".to_owned()))
}

/// The interpreter that a script's extension asks for. TypeScript has several, and its project may
/// be written for one of them.
fn by_extension(
    path: &Path,
    shown: &str,
    extension: &str,
    candidates: &[&str],
    places: &Places,
    given: &[OsString],
) -> anyhow::Result<Program> {
    let typescript = is_typescript(extension);
    let sign = typescript.then(|| runtime::nearest(path)).flatten();
    let wanted = sign.iter().map(|sign| sign.runtime);
    let others = candidates.iter().copied();
    let others = others.filter(|name| sign.as_ref().is_none_or(|sign| sign.runtime != *name));
    for name in wanted.chain(others) {
        let Some(program) = places.find(name) else {
            continue;
        };
        if typescript && name == "node" && !strips_types(&program) {
            continue;
        }
        let order = match candidates {
            [_] => format!("runs .{extension} files"),
            _ => format!(
                "the first in PATH of {}, which run .{extension} files",
                candidates.join(", ")
            ),
        };
        let (reason, warning) = match &sign {
            None => (order, None),
            Some(sign) if sign.runtime == name => (format!("found {}", told(&sign.file)), None),
            Some(sign) => {
                let warning = format!(
                    "{name} runs {shown}, though {} is a file of {wanted}: {wanted} is not in \
                     PATH; install it, or name {name} with --interpreter",
                    told(&sign.file),
                    wanted = sign.runtime
                );
                (order, Some(warning))
            }
        };
        let program = with_script(program, arguments(name, given), path.to_owned(), reason);
        return Ok(Program { warning, ..program });
    }
    if typescript {
        bail!(
            "no program in PATH runs {shown}: install bun, deno, or a node that strips types \
             (22.18 or later), or name another with --interpreter"
        );
    }
    bail!(
        "{}, which runs {shown}, is not in PATH: install it, or name another with \
         --interpreter",
        candidates.join(" or ")
    )
}

fn missing(path: &Path, script: &str, cwd: &Path) -> String {
    match fs::metadata(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            format!("the script {script} cannot be looked at: {error}")
        }
        _ => format!("no such script: {script} (looked for in {})", told(cwd)),
    }
}

fn by_itself(script: PathBuf, args: &[OsString], reason: String) -> Program {
    Program {
        script,
        interpreter: None,
        args: args.to_vec(),
        reason,
        warning: None,
    }
}

fn with_script(path: PathBuf, args: Vec<OsString>, script: PathBuf, reason: String) -> Program {
    Program {
        script,
        interpreter: Some(Interpreter { path, args }),
        args: Vec::new(),
        reason,
        warning: None,
    }
}

/// The interpreters for an extension, the best first.
fn candidates(extension: &str) -> Option<&'static [&'static str]> {
    Some(match extension {
        "ts" | "tsx" | "mts" | "cts" => &["bun", "deno", "node"],
        "js" | "mjs" | "cjs" => &["node", "bun"],
        "py" => &["python3"],
        "sh" => &["bash"],
        "rb" => &["ruby"],
        "php" => &["php"],
        "pl" => &["perl"],
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

    fn places(cwd: &Path) -> Places<'_> {
        Places {
            cwd,
            path: OsStr::new("/usr/bin:/bin"),
        }
    }

    #[test]
    fn the_extension_tells_the_interpreter() {
        let (folder, path) = script("job.sh", 0o644);
        let program = resolve(&path, &places(folder.path()), None, &["-x".into()]).unwrap();
        assert_eq!(program.script, PathBuf::from(path));
        let interpreter = program.interpreter.unwrap();
        assert!(interpreter.path.ends_with("bash"));
        assert_eq!(interpreter.args, ["-x"]);
        assert!(program.args.is_empty());
    }

    #[test]
    fn an_executable_runs_as_it_is() {
        let (folder, path) = script("job", 0o755);
        let program = resolve(&path, &places(folder.path()), None, &["-x".into()]).unwrap();
        assert_eq!(program.script, PathBuf::from(path));
        assert_eq!(program.interpreter, None);
        assert_eq!(program.args, ["-x"]);
    }

    #[test]
    fn a_bare_name_is_looked_for_in_path() {
        let folder = tempfile::tempdir().unwrap();
        let program = resolve(OsStr::new("sh"), &places(folder.path()), None, &[]).unwrap();
        assert!(program.script.ends_with("sh"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let (folder, path) = script("job.x", 0o644);
        let error = |script: &OsStr, interpreter| {
            resolve(script, &places(folder.path()), interpreter, &[])
                .unwrap_err()
                .to_string()
        };
        assert!(error(OsStr::new("gone.ts"), None).contains("no such script: gone.ts"));
        assert!(error(&path, None).contains("not executable"));
        assert!(error(&path, Some("no-such-runtime")).contains("no-such-runtime is not in PATH"));
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
}
