//! Who is measured: how each is started, when it is ready, and which of its
//! processes do the balancing.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use serde_json::Value;

use crate::child::{Child, Program};
use crate::load::closed::Body;
use crate::scratch::Scratch;
use crate::{haproxy, nginx, tools, tree};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bun workers that share a port by SO_REUSEPORT: the kernel distributes.
    Raw,
    /// Node workers behind Node's own cluster module (round robin).
    NodeCluster,
    /// Bun workers on ports of their own, behind nginx's least_conn in so many
    /// processes.
    Nginx(u16),
    /// Bun workers on ports of their own, behind HAProxy's leastconn with so
    /// many threads.
    Haproxy(u16),
    /// Bun workers under maitred, with a policy or with its default one.
    Maitred(Option<&'static str>),
    /// The same, with each request placed by itself.
    Requests(&'static str),
}

/// The same app for Bun and for Node's cluster.
#[derive(Clone, Copy)]
pub(crate) struct App {
    pub name: &'static str,
    bun: &'static str,
    node: Option<&'static str>,
}

/// What `HELLO` answers, and `REQUESTS` at `/`.
pub(crate) const HELLO_BODY: Body = Body::text("Hello, World!");

pub(crate) const HELLO: App = App {
    name: "hello",
    bun: include_str!("../apps/hello.ts"),
    node: Some(include_str!("../apps/hello.cjs")),
};

pub(crate) const WORK: App = App {
    name: "work",
    bun: include_str!("../apps/work.ts"),
    node: Some(include_str!("../apps/work.cjs")),
};

/// Answers small, large and slowly.
pub(crate) const REQUESTS: App = App {
    name: "requests",
    bun: include_str!("../apps/requests.ts"),
    node: None,
};

/// A contender that answers on `port`. Its processes end on drop.
pub(crate) struct Running {
    pub(crate) port: u16,
    children: Vec<Child>,
    balancer: Balancer,
}

/// Which processes of the tree do the balancing.
enum Balancer {
    Kernel,
    /// The one that was started: Node's cluster primary.
    First,
    /// All that run the program that was started: nginx's master and worker,
    /// maitred's guard and supervisor.
    SameProgram,
}

/// A process after its start, on a busy machine with eight others.
const PATIENCE: Duration = Duration::from_secs(60);

impl Kind {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Raw => "raw".to_owned(),
            Self::NodeCluster => "node-cluster".to_owned(),
            Self::Nginx(1) => "nginx".to_owned(),
            Self::Nginx(processes) => format!("nginx:{processes}"),
            Self::Haproxy(1) => "haproxy".to_owned(),
            Self::Haproxy(threads) => format!("haproxy:{threads}"),
            Self::Requests(policy) => format!("requests:{policy}"),
            Self::Maitred(None) => "maitred".to_owned(),
            Self::Maitred(Some(policy)) => format!("maitred:{policy}"),
        }
    }

    /// What the tables and the picture call it.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Raw => "raw SO_REUSEPORT (Bun)".to_owned(),
            Self::NodeCluster => "Node's cluster".to_owned(),
            Self::Nginx(1) => "nginx least_conn (Bun)".to_owned(),
            Self::Nginx(processes) => format!("nginx least_conn, {processes} processes (Bun)"),
            Self::Haproxy(1) => "HAProxy leastconn (Bun)".to_owned(),
            Self::Haproxy(threads) => format!("HAProxy leastconn, {threads} threads (Bun)"),
            Self::Requests(policy) => format!("maitred per request, {policy} (Bun)"),
            Self::Maitred(None) => "maitred (Bun)".to_owned(),
            Self::Maitred(Some(policy)) => format!("maitred {policy} (Bun)"),
        }
    }

    /// Whether a user who named `only` means this one.
    pub(crate) fn is_named(&self, only: &[String]) -> bool {
        let name = self.name();
        only.is_empty()
            || only
                .iter()
                .any(|wanted| *wanted == name || name.starts_with(&format!("{wanted}:")))
    }

    /// The programs it needs, or the error that names a missing one.
    pub(crate) fn programs(&self, maitred: Option<&Path>) -> Result<Vec<(&'static str, PathBuf)>> {
        let bun = || Ok::<_, anyhow::Error>(("bun", tools::find("bun")?));
        Ok(match self {
            Self::Raw => vec![bun()?],
            Self::NodeCluster => vec![("node", tools::find("node")?)],
            Self::Nginx(_) => vec![bun()?, ("nginx", tools::find("nginx")?)],
            Self::Haproxy(_) => vec![bun()?, ("haproxy", tools::find("haproxy")?)],
            Self::Maitred(_) | Self::Requests(_) => {
                vec![bun()?, ("maitred", tools::maitred(maitred)?)]
            }
        })
    }

    pub(crate) fn start(
        &self,
        app: App,
        workers: usize,
        maitred: Option<&Path>,
        scratch: &Scratch,
    ) -> Result<Running> {
        let start = || match self {
            Self::Raw => start_raw(app, workers, scratch),
            Self::NodeCluster => start_node(app, workers, scratch),
            Self::Nginx(processes) => {
                let start = |port, ports: &[u16]| nginx::start(port, ports, *processes, scratch);
                start_behind(app, workers, &self.name(), scratch, start)
            }
            Self::Haproxy(threads) => {
                let start = |port, ports: &[u16]| haproxy::start(port, ports, *threads, scratch);
                start_behind(app, workers, &self.name(), scratch, start)
            }
            Self::Requests(policy) => {
                let options = ["--per", "request", "--balance", policy];
                start_maitred(app, workers, &options, maitred, scratch)
            }
            Self::Maitred(None) => start_maitred(app, workers, &[], maitred, scratch),
            Self::Maitred(Some(policy)) => {
                start_maitred(app, workers, &["--balance", policy], maitred, scratch)
            }
        };
        start().with_context(|| format!("starting {}", self.name()))
    }
}

impl Running {
    /// The processes that do the balancing; empty where the kernel does it.
    pub(crate) fn balancer(&self) -> Vec<Pid> {
        let Some(first) = self.children.first().map(Child::pid) else {
            return Vec::new();
        };
        match self.balancer {
            Balancer::Kernel => Vec::new(),
            Balancer::First => vec![first],
            Balancer::SameProgram => tree::same_program(first, &tree::descendants(first)),
        }
    }

    /// All its processes.
    pub(crate) fn everything(&self) -> Vec<Pid> {
        self.children
            .iter()
            .flat_map(|child| tree::descendants(child.pid()))
            .collect()
    }
}

fn start_raw(app: App, workers: usize, scratch: &Scratch) -> Result<Running> {
    let port = free_port()?;
    let children = (0..workers)
        .map(|n| start_bun(app, port, true, &format!("raw-{n}"), scratch))
        .collect::<Result<_>>()?;
    all_ready(Running {
        port,
        children,
        balancer: Balancer::Kernel,
    })
}

fn start_node(app: App, workers: usize, scratch: &Scratch) -> Result<Running> {
    let port = free_port()?;
    let node = app.node.context("this app is not there for Node")?;
    let script = scratch.write(&format!("{}.cjs", app.name), node)?;
    let primary = Program::new(&tools::find("node")?)?
        .args([&script])
        .env("PORT", port.to_string())
        .env("WORKERS", workers.to_string())
        .start(scratch.path().join(format!("{}-node.log", app.name)))?;
    all_ready(Running {
        port,
        children: vec![primary],
        balancer: Balancer::First,
    })
}

/// `proxy` starts one on a port, before servers on other ports.
fn start_behind(
    app: App,
    workers: usize,
    name: &str,
    scratch: &Scratch,
    proxy: impl FnOnce(u16, &[u16]) -> Result<Child>,
) -> Result<Running> {
    let ports = (0..workers)
        .map(|_| free_port())
        .collect::<Result<Vec<_>>>()?;
    let backends = ports
        .iter()
        .map(|&port| start_bun(app, port, false, &format!("{name}-{port}"), scratch))
        .collect::<Result<Vec<_>>>()?;
    let backends = all_ready(Running {
        port: 0,
        children: backends,
        balancer: Balancer::Kernel,
    })?;
    let port = free_port()?;
    let mut server = proxy(port, &ports)?;
    server.wait_until(PATIENCE, |_| nginx::answers(port))?;
    let mut children = vec![server];
    children.extend(backends.children);
    Ok(Running {
        port,
        children,
        balancer: Balancer::SameProgram,
    })
}

fn start_maitred(
    app: App,
    workers: usize,
    options: &[&str],
    maitred: Option<&Path>,
    scratch: &Scratch,
) -> Result<Running> {
    let script = scratch.write(&format!("{}.ts", app.name), app.bun)?;
    let mut arguments = vec![script.into_os_string()];
    arguments.extend(options.iter().map(Into::into));
    run_maitred(&arguments, &[], workers, maitred, scratch)
}

/// `maitred run ARGUMENTS -i WORKERS -- REST`, ready when all workers listen.
/// The script is the first of the arguments, as users write it.
pub(crate) fn run_maitred(
    arguments: &[std::ffi::OsString],
    rest: &[&str],
    workers: usize,
    maitred: Option<&Path>,
    scratch: &Scratch,
) -> Result<Running> {
    let port = free_port()?;
    let events = scratch.path().join(format!("maitred-{port}.events"));
    let program = Program::new(&tools::maitred(maitred)?)?
        .args(["run"])
        .args(arguments)
        .args(["-i", &workers.to_string(), "--events"])
        .args([&events]);
    let program = if rest.is_empty() {
        program
    } else {
        program.args(["--"]).args(rest)
    };
    let mut child = program
        .env("PORT", port.to_string())
        .env("PATH", tools::search_path())
        .env("MAITRED_HOME", scratch.path().join("maitred-home"))
        .start(scratch.path().join(format!("maitred-{port}.log")))?;
    child.wait_until(PATIENCE, |_| {
        std::fs::read_to_string(&events).is_ok_and(|events| members(&events) >= workers)
    })?;
    Ok(Running {
        port,
        children: vec![child],
        balancer: Balancer::SameProgram,
    })
}

/// How many workers listen, by maitred's events (JSON lines; the last may be
/// half written).
fn members(events: &str) -> usize {
    events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["event"] == "listening")
        .filter_map(|event| event["members"].as_u64())
        .next_back()
        .map_or(0, |members| members as usize)
}

fn start_bun(app: App, port: u16, reuse: bool, name: &str, scratch: &Scratch) -> Result<Child> {
    let script = scratch.write(&format!("{}.ts", app.name), app.bun)?;
    Program::new(&tools::find("bun")?)?
        .args([&script])
        .env("PORT", port.to_string())
        .env("REUSE_PORT", if reuse { "1" } else { "0" })
        .start(scratch.path().join(format!("{}-{name}.log", app.name)))
}

/// Waits until each child has said that it is ready.
fn all_ready(mut running: Running) -> Result<Running> {
    for child in &mut running.children {
        child.wait_until(PATIENCE, |output| {
            output.lines().any(|line| line == "ready")
        })?;
    }
    Ok(running)
}

/// A port that nobody listened on a moment ago. It lies below those that the
/// kernel gives to clients (32,768 and up): a connection of the load generator
/// could have it the next moment.
pub(crate) fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u32> = 15_000..32_000;
    for _ in PORTS {
        // Benchmarks that run side by side begin far from each other.
        let n = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id().wrapping_mul(97);
        let port = (PORTS.start + n % PORTS.len() as u32) as u16;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port between {} and {} is free", PORTS.start, PORTS.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_listening_event_counts() {
        let events = concat!(
            "{\"event\":\"listening\",\"members\":1}\n",
            "{\"event\":\"started\",\"members\":9}\n",
            "{\"event\":\"listening\",\"members\":2}\n",
            "{\"event\":\"listening\",\"mem",
        );
        assert_eq!(members(events), 2);
        assert_eq!(members(""), 0);
    }

    #[test]
    fn only_names_a_contender_or_all_its_policies() {
        let next = Kind::Maitred(Some("next_available"));
        assert!(next.is_named(&["maitred".to_owned()]));
        assert!(next.is_named(&["raw".to_owned(), "maitred:next_available".to_owned()]));
        assert!(!next.is_named(&["maitred:round_robin".to_owned()]));
        assert!(next.is_named(&[]));
    }
}
