//! Config files that are programs: they are run by Bun or Node, in a process of their own, with
//! limits on time and output.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use serde_json::Value;

use super::here::here;
use super::interpreter;
use super::programs::{Places, strips_types};
use super::words::told;

/// How a value is marked that JSON cannot hold: an object with this key, and what it was.
pub(super) const ODD: &str = "[odd]";

/// The program that evaluates the file; its result goes to descriptor 0.
const PROGRAM: &str = include_str!("evaluate.js");

/// What a config may take up, as JSON.
const MOST_RESULT: usize = 4 << 20;

/// What is kept of the lines that it prints, and of its errors.
const MOST_PRINTED: usize = 16 << 10;

/// How long the evaluation of a config may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a config file has evaluated to.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) value: Value,
    /// What it printed, harmless on a terminal.
    pub(crate) printed: String,
}

/// Runs the file, and gives what it exports. `env_name` is given to a config that is a function.
///
/// # Errors
/// If no runtime is there, if the file fails (with its own words, file and line among them), if
/// it takes longer than `patience`, or if the result is too large.
pub(crate) fn evaluate(
    path: &Path,
    env_name: Option<&str>,
    patience: Duration,
) -> anyhow::Result<Evaluated> {
    let runtime = runtime(path)?;
    let shown = path.file_name().unwrap_or(path.as_os_str());
    let shown = format!("evaluating {} with {}", told(shown), runtime.name);
    let (result, to_result) = pipe_with(PipeFlags::CLOEXEC).context("making a pipe")?;
    let mut command = Command::new(&runtime.path);
    command
        .args(runtime.args)
        .arg(PROGRAM)
        .env("MAITRED_CONFIG", path)
        .env("MAITRED_CONFIG_ENV", env_name.unwrap_or(""))
        .env_remove(wire::DOOR_VAR)
        .stdin(to_result)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // However this command ends, what it evaluates does not go on.
    let _tied = sys::tie_group(&mut command).context("making a pipe")?;
    let child = command.spawn().with_context(|| shown.clone())?;
    // It holds our end of the result's pipe, which must not stay open here.
    drop(command);
    let run = Run::new(child, result)?;
    let ended = run.gather(patience).with_context(|| shown.clone())?;
    let errors = harmless(&ended.errors);
    if ended.timed_out {
        bail!(
            "{shown}: it took longer than {} s. Does it start servers, or loop?",
            patience.as_secs_f64()
        );
    }
    if !ended.success {
        let said = relevant(&errors);
        if said.is_empty() {
            match ended.status.code() {
                Some(code) => bail!("{shown}: it exited with code {code} and said nothing"),
                None => bail!("{shown}: it was killed by a signal and said nothing"),
            }
        }
        bail!("{shown}: it failed:\n{said}");
    }
    if ended.result.len() > MOST_RESULT {
        bail!(
            "{shown}: what it exports is larger than {} MB",
            MOST_RESULT >> 20
        );
    }
    if ended.result.is_empty() {
        bail!("{shown}: it ended before it had exported anything (does it call process.exit?)");
    }
    let value = serde_json::from_slice(&ended.result)
        .with_context(|| format!("{shown}: reading what it exports"))?;
    let printed = harmless(&ended.output) + &errors;
    Ok(Evaluated { value, printed })
}

/// A program that can evaluate.
struct Runtime {
    name: &'static str,
    path: PathBuf,
    args: &'static [&'static str],
}

/// The runtime for a file: Bun, or else Node, which has to understand the file's language.
fn runtime(path: &Path) -> anyhow::Result<Runtime> {
    let here = here()?;
    let search = std::env::var_os("PATH").unwrap_or_default();
    let places = Places {
        cwd: &here,
        path: &search,
    };
    if let Some(path) = places.find("bun") {
        return Ok(Runtime {
            name: "bun",
            path,
            // A package that is not there is an error, and not to be fetched.
            args: &["--no-install", "--eval"],
        });
    }
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or("");
    let typescript = interpreter::is_typescript(extension);
    let node = places.find("node");
    match node.filter(|node| !typescript || strips_types(node)) {
        Some(path) => Ok(Runtime {
            name: "node",
            path,
            args: &["--input-type=module", "--eval"],
        }),
        None if typescript => bail!(
            "no program in PATH evaluates {}: install bun, or a node that strips types (22.18 or \
             later)",
            told(path)
        ),
        None => bail!(
            "no program in PATH evaluates {}: install bun or node, or write the config as JSON, \
             YAML or TOML",
            told(path)
        ),
    }
}

/// A runtime at work.
struct Run {
    child: Child,
    ended: OwnedFd,
    pipes: [Gathered; 3],
}

/// What has come out of a pipe so far.
struct Gathered {
    pipe: Option<std::fs::File>,
    bytes: Vec<u8>,
    /// What is more is read, and thrown away.
    most: usize,
}

/// How it ended, and what it left.
struct Ended {
    success: bool,
    status: ExitStatus,
    timed_out: bool,
    result: Vec<u8>,
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Run {
    fn new(mut child: Child, result: OwnedFd) -> anyhow::Result<Self> {
        let out = child.stdout.take().map(OwnedFd::from);
        let err = child.stderr.take().map(OwnedFd::from);
        let ended = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("the child has no pid")
            .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::empty())?));
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error.context("watching the runtime"));
            }
        };
        let gathered = |pipe: Option<OwnedFd>, most| Gathered {
            pipe: pipe.map(std::fs::File::from),
            bytes: Vec::new(),
            most,
        };
        let run = Self {
            child,
            ended,
            pipes: [
                gathered(Some(result), MOST_RESULT + 1),
                gathered(out, MOST_PRINTED),
                gathered(err, MOST_PRINTED),
            ],
        };
        for pipe in run.pipes.iter().filter_map(|it| it.pipe.as_ref()) {
            rustix::io::ioctl_fionbio(pipe, true).context("reading from the runtime")?;
        }
        Ok(run)
    }

    /// Reads until the process has ended, or its time is up.
    fn gather(mut self, patience: Duration) -> anyhow::Result<Ended> {
        let deadline = Instant::now() + patience;
        let mut timed_out = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let over = left.is_zero() || self.pipes.first().is_some_and(Gathered::is_full);
            if over {
                timed_out = left.is_zero();
                break;
            }
            let mut fds = vec![PollFd::new(&self.ended, PollFlags::IN)];
            for pipe in self.pipes.iter().filter_map(|it| it.pipe.as_ref()) {
                fds.push(PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN));
            }
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("waiting for the runtime"),
            }
            let has_ended = fds.first().is_some_and(|it| !it.revents().is_empty());
            drop(fds);
            self.pipes.iter_mut().for_each(Gathered::read);
            if has_ended {
                break;
            }
        }
        // Its group goes with it: what it has started has no business here.
        self.kill();
        let status = self.child.wait().context("waiting for the runtime")?;
        self.pipes.iter_mut().for_each(Gathered::read);
        let [result, output, errors] = &mut self.pipes;
        let full = result.is_full();
        Ok(Ended {
            success: (status.success() || full) && !timed_out,
            status,
            timed_out,
            result: std::mem::take(&mut result.bytes),
            output: std::mem::take(&mut output.bytes),
            errors: std::mem::take(&mut errors.bytes),
        })
    }

    fn kill(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It leads a group of its own, and has not been waited for: the number is still its.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.bytes.len() >= self.most
    }

    /// Reads what is there.
    fn read(&mut self) {
        let mut chunk = [0; 16 << 10];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(read) => {
                    let room = self.most.saturating_sub(self.bytes.len());
                    let kept = chunk.get(..read.min(room)).unwrap_or(&[]);
                    self.bytes.extend_from_slice(kept);
                    // A flood must not keep us from looking at the clock.
                    if room == 0 {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}

/// Text of another program, without what could take over a terminal.
fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The lines of an error that speak of the user's files, and not of the runtime's inside.
fn relevant(errors: &str) -> String {
    let inside = |line: &&str| {
        let line = line.trim_start();
        (line.starts_with("at ")
            && ["node:internal", "[eval", "(native", "evaluateModule"]
                .iter()
                .any(|part| line.contains(part)))
            || line.starts_with("Node.js v")
            || line.starts_with("Bun v")
    };
    // Where Node begins with the line that threw and that is not the user's, an empty line ends
    // that.
    let errors = match errors.split_once("\n\n") {
        Some((own, rest))
            if own.trim_start().starts_with("node:internal") || own.contains("[eval") =>
        {
            rest
        }
        _ => errors,
    };
    let said = |line: &&str| !inside(line) && !line.trim().is_empty();
    let text = errors.lines().filter(said).collect::<Vec<_>>().join("\n");
    text.lines()
        .map(|line| format!("  {line}\n"))
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However busy the machine is.
    const ENOUGH: Duration = Duration::from_secs(300);

    fn evaluated(text: &str, patience: Duration) -> anyhow::Result<Evaluated> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.config.cjs");
        std::fs::write(&path, text).unwrap();
        evaluate(&path, None, patience)
    }

    #[test]
    fn a_loop_without_end_is_ended() {
        for text in [
            "while (true) {}",
            "module.exports = new Promise(() => setInterval(() => {}, 1000))",
            "require('child_process').execSync('sleep 1000')",
            "for (;;) console.log('x'.repeat(10000))",
        ] {
            let error = evaluated(text, Duration::from_secs(2)).unwrap_err();
            assert!(
                error.to_string().contains("longer than 2 s"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn what_it_leaves_running_goes_with_it() {
        let text = "
            const child = require('child_process').spawn('sleep', ['1000'], { stdio: 'inherit' });
            module.exports = { pid: child.pid };
        ";
        let value = evaluated(text, ENOUGH).unwrap().value;
        let pid = value.get("pid").unwrap().as_i64().unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        // Where nobody has it any more, it has ended, too.
        if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) {
            let timeout = Timespec::try_from(Duration::from_secs(60)).unwrap();
            let mut fds = [PollFd::new(&handle, PollFlags::IN)];
            assert_eq!(poll(&mut fds, Some(&timeout)), Ok(1), "it lives on");
        }
    }

    #[test]
    fn output_has_bounds() {
        let flood = "for (let i = 0; i < 1000; i++) console.log('x'.repeat(1000)); ";
        let result = evaluated(&format!("{flood} module.exports = 1"), ENOUGH).unwrap();
        assert_eq!(result.value, 1);
        assert!(result.printed.len() <= 2 * MOST_PRINTED);
        let error = evaluated("module.exports = 'x'.repeat(5 << 20)", ENOUGH).unwrap_err();
        assert!(error.to_string().contains("larger than 4 MB"), "{error}");
    }

    #[test]
    fn escape_sequences_do_not_pass() {
        assert_eq!(
            harmless(b"a\x1b[2Jb\r\n\tc\xff"),
            "a\u{fffd}[2Jb\u{fffd}\n\tc\u{fffd}"
        );
    }
}
