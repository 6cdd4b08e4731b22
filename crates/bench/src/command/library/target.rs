//! The servers that are stepped, with the library and without, and the one client that they have then.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;

use crate::child::{Child, Program};
use crate::command::worker;
use crate::contender::{self, HELLO_BODY, free_port};
use crate::load::closed::Body;
use crate::scratch::Scratch;
use crate::{nginx, tools};

const PLAIN: &str = include_str!("../../../apps/plain.cjs");
const PLAIN_BUN: &str = include_str!("../../../apps/plain.ts");
const LINES: &str = include_str!("../../../apps/lines.cjs");
const LINES_BUN: &str = include_str!("../../../apps/lines.ts");

const HTTP: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
const OTHER: &[u8] = b"\x16\x03\x01 no HTTP\n";
/// For a process to start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer.
const ROOM: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Server {
    Node,
    Bun,
    /// The light server within this program: compiled, and little more than its system calls.
    Light,
}

/// A server, and what is spoken with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) server: Server,
    pub(super) http: bool,
}

/// A server that runs, with the library or without.
pub(super) struct Target {
    pub(super) port: u16,
    pub(super) worker: Pid,
    _processes: Processes,
}

/// What ends with the target.
#[expect(dead_code, reason = "kept for their drop")]
enum Processes {
    Bare(Child),
    Maitred(contender::Running),
}

impl Server {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Bun => "bun",
            Self::Light => "light",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Bun => "Bun",
            Self::Light => "light server",
        }
    }
}

impl Case {
    pub(super) fn name(self) -> String {
        let spoken = if self.http { "http" } else { "other" };
        format!("{}:{spoken}", self.server.name())
    }

    pub(super) fn title(self) -> String {
        let spoken = if self.http { "HTTP" } else { "not HTTP" };
        format!("{}, {spoken}", self.server.title())
    }

    pub(super) fn body(self) -> Body {
        match self.server {
            Server::Light => Body::text(worker::BODY),
            Server::Node | Server::Bun => HELLO_BODY,
        }
    }

    fn request(self) -> &'static [u8] {
        if self.http { HTTP } else { OTHER }
    }

    /// The program, and what it is given.
    fn program(self, scratch: &Scratch) -> Result<(PathBuf, PathBuf)> {
        let write = |name, text| scratch.write(name, text);
        Ok(match (self.server, self.http) {
            (Server::Node, true) => (tools::find("node")?, write("plain.cjs", PLAIN)?),
            (Server::Node, false) => (tools::find("node")?, write("lines.cjs", LINES)?),
            (Server::Bun, true) => (tools::find("bun")?, write("plain.ts", PLAIN_BUN)?),
            (Server::Bun, false) => (tools::find("bun")?, write("lines.ts", LINES_BUN)?),
            (Server::Light, _) => (
                std::env::current_exe().context("finding this program")?,
                "worker".into(),
            ),
        })
    }
}

impl Target {
    pub(super) fn bare(case: Case, scratch: &Scratch) -> Result<Self> {
        let port = free_port()?;
        let (program, argument) = case.program(scratch)?;
        let mut child = Program::new(&program)?
            .args([argument])
            .env("PORT", port.to_string())
            .start(scratch.path().join(format!("library-{port}.log")))?;
        child.wait_until(PATIENCE, |_| nginx::answers(port))?;
        Ok(Self {
            port,
            worker: child.pid(),
            _processes: Processes::Bare(child),
        })
    }

    pub(super) fn with_library(
        case: Case,
        maitred: Option<&std::path::Path>,
        scratch: &Scratch,
    ) -> Result<Self> {
        let (program, argument) = case.program(scratch)?;
        let argument_text = argument.to_string_lossy();
        let running = match case.server {
            // maitred finds the runtime by the script's name.
            Server::Node | Server::Bun => {
                contender::run_maitred(&[argument.clone().into()], &[], 1, maitred, scratch)
            }
            Server::Light => {
                contender::run_maitred(&[program.into()], &[&*argument_text], 1, maitred, scratch)
            }
        }?;
        let mut workers = running.everything();
        let balancer = running.balancer();
        workers.retain(|pid| !balancer.contains(pid));
        let [worker] = workers[..] else {
            bail!("there is more than one worker, or none: {workers:?}");
        };
        Ok(Self {
            port: running.port,
            worker,
            _processes: Processes::Maitred(running),
        })
    }
}

/// One kept-alive connection.
pub(super) struct Client {
    stream: TcpStream,
    request: &'static [u8],
    /// How long each answer is; all are alike.
    answer: usize,
    received: usize,
}

impl Client {
    pub(super) fn connect(case: Case, port: u16) -> Result<Self> {
        let mut stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting to the server")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .context("setting a timeout")?;
        stream.write_all(case.request()).context("asking")?;
        // The first answer shows how long they are: it comes in one piece, and nothing follows.
        let answer = stream
            .read(&mut [0; ROOM])
            .context("reading the first answer")?;
        if answer == 0 || answer == ROOM {
            bail!("the first answer is not one");
        }
        Ok(Self {
            stream,
            request: case.request(),
            answer,
            received: 0,
        })
    }

    /// Asks so often, one time after the other.
    pub(super) fn ask(&mut self, times: u32) -> Result<()> {
        self.stream
            .set_nonblocking(false)
            .context("making the connection blocking")?;
        let mut answer = vec![0; self.answer];
        for _ in 0..times {
            self.stream.write_all(self.request).context("asking")?;
            self.stream.read_exact(&mut answer).context("reading")?;
        }
        Ok(())
    }

    /// Sends one request, whose answer `is_answered` waits for.
    pub(super) fn send(&mut self) -> Result<()> {
        self.received = 0;
        self.stream.write_all(self.request).context("asking")?;
        self.stream
            .set_nonblocking(true)
            .context("making the connection nonblocking")
    }

    /// Takes what has come, without waiting.
    pub(super) fn is_answered(&mut self) -> Result<bool> {
        match self.stream.read(&mut [0; ROOM]) {
            Ok(0) => bail!("the server has closed the connection"),
            Ok(n) => self.received += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("reading"),
        }
        Ok(self.received >= self.answer)
    }
}
