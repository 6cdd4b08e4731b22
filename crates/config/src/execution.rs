//! What of an app is executed, with all its arguments, and its version.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::bail;

use super::Interpreter;
use super::environment::Environment;
use super::fields::Entry;
use super::interpreter::{self, Program};
use super::paths::{expand_home, without_detours};
use super::programs::Places;
use super::resolve::Surroundings;
use super::words::told;

/// Node's flag for `source_map_support`.
pub(super) const SOURCE_MAPS: &str = "--enable-source-maps";

/// What is executed. Programs are looked for in the app's own PATH, where it has one.
pub(super) fn program(
    entry: &Entry,
    script: &OsStr,
    cwd: &Path,
    own_env: &Environment,
    context: &Surroundings,
    warnings: &mut Vec<String>,
) -> anyhow::Result<Program> {
    let path = OsStr::new("PATH");
    let path = own_env.get(path).or_else(|| context.inherited.get(path));
    let places = Places {
        cwd,
        path: path.map_or(OsStr::new(""), OsString::as_os_str),
    };
    let args = entry.args.clone().unwrap_or_default().0;
    let text = script.to_str().unwrap_or("");
    let serves = own_env
        .keys()
        .find(|name| name.as_bytes().starts_with(b"PM2_SERVE_"));
    if let (Some(variable), "serve") = (serves, text) {
        bail!(
            "script: serve with {} is pm2's own file server, which is not here, and another \
             program of this name would serve another folder; run a file server, and give it the \
             folder and the port in args",
            told(variable)
        );
    }
    if text.contains(char::is_whitespace) && !cwd.join(script).exists() {
        let interpreter = entry.interpreter.as_deref().unwrap_or("none");
        if interpreter != "none" || entry.interpreter_args.is_some() {
            let note = "interpreter and interpreter_args do nothing: the script is a command line, \
                        which a shell runs";
            warnings.push(note.to_owned());
        }
        return command_line(text, args, &places);
    }
    let interpreter_args = entry.interpreter_args.clone().unwrap_or_default().0;
    let interpreter = entry.interpreter.as_deref().filter(|it| !it.is_empty());
    let interpreter = interpreter.map(|it| expand_home(Path::new(it), context));
    let interpreter = interpreter.as_ref().map(|it| it.to_string_lossy());
    let mut program =
        interpreter::resolve(script, &places, interpreter.as_deref(), &interpreter_args)?;
    warnings.extend(program.warning.take());
    program.args.extend(args);
    program.script = without_detours(program.script);
    if let Some(interpreter) = &mut program.interpreter {
        let maps = || {
            let mut path = program.script.clone().into_os_string();
            path.push(".map");
            Path::new(&path).is_file()
        };
        if is_called(interpreter, "node") && entry.source_map_support.unwrap_or_else(maps) {
            interpreter.args.insert(0, SOURCE_MAPS.into());
        }
    }
    Ok(program)
}

/// A whole command line, for a shell.
fn command_line(line: &str, args: Vec<OsString>, places: &Places) -> anyhow::Result<Program> {
    let shell = ["bash", "sh"].iter().find_map(|shell| places.find(shell));
    let Some(shell) = shell else {
        bail!("there is no shell in PATH that could run {}", told(line));
    };
    let mut all = vec![OsString::from("-c")];
    if args.is_empty() {
        all.push(line.into());
    } else {
        all.push(format!("{line} \"$@\"").into());
        all.push("sh".into());
        all.extend(args);
    }
    Ok(Program {
        script: shell,
        interpreter: None,
        args: all,
        reason: "a shell runs command lines".to_owned(),
        warning: None,
    })
}

pub(super) fn is_called(interpreter: &Interpreter, name: &str) -> bool {
    let file = interpreter.path.file_name().and_then(OsStr::to_str);
    file.is_some_and(|file| file.starts_with(name))
}

/// The version in the nearest `package.json` at or above the script; empty where there is none.
pub(super) fn version(script: &Path) -> String {
    /// Larger files are something else.
    const MOST: u64 = 1 << 20;
    let file = script
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("package.json"))
        .find(|path| {
            path.metadata()
                .is_ok_and(|it| it.is_file() && it.len() <= MOST)
        });
    let text = file.and_then(|path| std::fs::read(path).ok());
    let package: Option<serde_json::Value> =
        text.and_then(|text| serde_json::from_slice(&text).ok());
    let version = package
        .as_ref()
        .and_then(|package| package.get("version")?.as_str());
    let version = version.unwrap_or("").chars().filter(|c| !c.is_control());
    version.take(40).collect()
}
