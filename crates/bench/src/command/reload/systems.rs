//! Who is reloaded: how each is started, and what an operator does to bring a new version into service.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::child::{Child, Program};
use crate::command::manager::side::{self, Side};
use crate::contender::free_port;
use crate::scratch::Scratch;
use crate::{nginx, tools, tree};

const PLAIN: &str = include_str!("../../../apps/deploy.cjs");
const WITH_HANDLERS: &str = include_str!("../../../apps/deploy-handlers.cjs");
const BUN: &str = include_str!("../../../apps/deploy.ts");

const INSTANCES: usize = 2;
/// For a process to start or to end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
const NAME: &str = "deploy";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runtime {
    Node,
    Bun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    /// An unmodified server, each connection placed by itself.
    Connection(Runtime),
    /// The same, each request placed by itself.
    Request(Runtime),
    /// pm2 as its manual has it: cluster mode, `wait_ready`, a handler for SIGINT.
    Pm2,
    /// nginx before instances that are replaced one after the other.
    Nginx,
}

pub(super) const SYSTEMS: [System; 6] = [
    System::Connection(Runtime::Node),
    System::Connection(Runtime::Bun),
    System::Request(Runtime::Node),
    System::Request(Runtime::Bun),
    System::Pm2,
    System::Nginx,
];

/// The managers, which serve all their systems in turn.
pub(super) struct Managers {
    maitred: Option<Side>,
    pm2: Option<Side>,
}

/// A system with its app started.
pub(super) enum Running<'a> {
    Managed { side: &'a Side, port: u16 },
    Rolling(Rolling<'a>),
}

/// nginx, and the instances behind it.
pub(super) struct Rolling<'a> {
    scratch: &'a Scratch,
    port: u16,
    script: PathBuf,
    nginx: Child,
    instances: Vec<(u16, Child)>,
}

impl System {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connection(Runtime::Node) => "maitred:connection:node",
            Self::Connection(Runtime::Bun) => "maitred:connection:bun",
            Self::Request(Runtime::Node) => "maitred:request:node",
            Self::Request(Runtime::Bun) => "maitred:request:bun",
            Self::Pm2 => "pm2",
            Self::Nginx => "nginx",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Connection(Runtime::Node) => "maitred per connection (Node)",
            Self::Connection(Runtime::Bun) => "maitred per connection (Bun)",
            Self::Request(Runtime::Node) => "maitred per request (Node)",
            Self::Request(Runtime::Bun) => "maitred per request (Bun)",
            Self::Pm2 => "pm2 (Node with handlers)",
            Self::Nginx => "nginx, rolling (Node with handlers)",
        }
    }

    pub(super) fn is_maitred(self) -> bool {
        matches!(self, Self::Connection(_) | Self::Request(_))
    }

    /// Whether a user who named `only` means this one.
    pub(super) fn is_named(self, only: &[String]) -> bool {
        let name = self.name();
        only.is_empty()
            || only
                .iter()
                .any(|wanted| *wanted == name || name.starts_with(&format!("{wanted}:")))
    }

    /// The programs it needs, or the error that names a missing one.
    pub(super) fn programs(self, maitred: Option<&Path>) -> Result<Vec<(&'static str, PathBuf)>> {
        let node = ("node", tools::find("node")?);
        Ok(match self {
            Self::Connection(Runtime::Bun) | Self::Request(Runtime::Bun) => vec![
                ("bun", tools::find("bun")?),
                ("maitred", tools::maitred(maitred)?),
            ],
            Self::Connection(Runtime::Node) | Self::Request(Runtime::Node) => {
                vec![node, ("maitred", tools::maitred(maitred)?)]
            }
            // Its version is asked for in a way of its own.
            Self::Pm2 => {
                tools::find("pm2")?;
                vec![node]
            }
            Self::Nginx => vec![node, ("nginx", tools::find("nginx")?)],
        })
    }

    pub(super) fn start<'a>(
        self,
        managers: &'a Managers,
        scratch: &'a Scratch,
    ) -> Result<Running<'a>> {
        let port = free_port()?;
        match self {
            Self::Connection(runtime) => start_maitred(managers, runtime, &[], port, scratch),
            Self::Request(runtime) => {
                start_maitred(managers, runtime, &["--per", "request"], port, scratch)
            }
            Self::Pm2 => start_pm2(managers, port, scratch),
            Self::Nginx => Ok(Running::Rolling(Rolling::start(port, scratch)?)),
        }
        .with_context(|| format!("starting {}", self.title()))
    }
}

impl Managers {
    /// Those that the systems need.
    pub(super) fn new(
        systems: &[System],
        maitred: Option<&Path>,
        scratch: &Scratch,
    ) -> Result<Self> {
        let side = |kind, needed: bool| {
            needed
                .then(|| Side::new(kind, maitred, scratch))
                .transpose()
        };
        let ours = systems.iter().any(|system| system.is_maitred());
        Ok(Self {
            maitred: side(side::Kind::Maitred, ours)?,
            pm2: side(side::Kind::Pm2, systems.contains(&System::Pm2))?,
        })
    }
}

fn start_maitred<'a>(
    managers: &'a Managers,
    runtime: Runtime,
    options: &[&str],
    port: u16,
    scratch: &Scratch,
) -> Result<Running<'a>> {
    let side = managers.maitred.as_ref().context("no maitred")?;
    let script = match runtime {
        Runtime::Node => scratch.write("deploy.cjs", PLAIN)?,
        Runtime::Bun => scratch.write("deploy.ts", BUN)?,
    };
    let script = script.to_string_lossy().into_owned();
    let instances = INSTANCES.to_string();
    let mut arguments = vec!["start", &script, "-i", &instances, "--name", NAME];
    arguments.extend(options);
    side.run_with(arguments, &[("PORT", &port.to_string())])?;
    Ok(Running::Managed { side, port })
}

fn start_pm2<'a>(managers: &'a Managers, port: u16, scratch: &Scratch) -> Result<Running<'a>> {
    let side = managers.pm2.as_ref().context("no pm2")?;
    let script = scratch.write("deploy-handlers.cjs", WITH_HANDLERS)?;
    let config = json!({ "apps": [{
        "name": NAME, "script": script, "exec_mode": "cluster", "instances": INSTANCES,
        "wait_ready": true, "listen_timeout": 10_000, "kill_timeout": 10_000,
        "env": { "PORT": port.to_string() },
    }] });
    let path = scratch.write("deploy-pm2.json", &config.to_string())?;
    side.run(["start".as_ref(), path.as_os_str()])?;
    Ok(Running::Managed { side, port })
}

impl Running<'_> {
    pub(super) fn port(&self) -> u16 {
        match self {
            Self::Managed { port, .. } => *port,
            Self::Rolling(rolling) => rolling.port,
        }
    }

    /// Replaces all instances, and returns when the old ones have ended.
    pub(super) fn reload(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        match self {
            Self::Managed { side, .. } => drop(side.run(["reload", NAME])?),
            Self::Rolling(rolling) => rolling.reload()?,
        }
        Ok(begun.elapsed())
    }

    pub(super) fn stop(self) -> Result<()> {
        match self {
            Self::Managed { side, .. } => side.run(["delete", NAME]).map(drop),
            Self::Rolling(_) => Ok(()),
        }
    }
}

impl<'a> Rolling<'a> {
    fn start(port: u16, scratch: &'a Scratch) -> Result<Self> {
        let script = scratch.write("deploy-handlers.cjs", WITH_HANDLERS)?;
        let instances = (0..INSTANCES)
            .map(|_| start_instance(&script, scratch))
            .collect::<Result<Vec<_>>>()?;
        let mut nginx = nginx::start(port, &ports(&instances), 1, scratch)?;
        nginx.wait_until(PATIENCE, |_| nginx::answers(port))?;
        Ok(Self {
            scratch,
            port,
            script,
            nginx,
            instances,
        })
    }

    /// One instance after the other, as a careful operator does it: the new one listens before nginx
    /// knows of it, and the old one gets its signal when no nginx process uses it any more.
    fn reload(&mut self) -> Result<()> {
        for n in 0..self.instances.len() {
            let new = start_instance(&self.script, self.scratch)?;
            let old = std::mem::replace(&mut self.instances[n], new);
            let configuration =
                nginx::configure(self.port, &ports(&self.instances), 1, self.scratch)?;
            let before = self.workers();
            nginx::reload(&configuration, self.scratch)?;
            all_ended(&before)?;
            old.1.signal(Signal::SIGTERM)?;
            old.1.finish(PATIENCE).context("ending an old instance")?;
        }
        Ok(())
    }

    /// nginx's processes below its master.
    fn workers(&self) -> Vec<Pid> {
        let mut all = tree::descendants(self.nginx.pid());
        all.retain(|&pid| pid != self.nginx.pid());
        all
    }
}

fn ports(instances: &[(u16, Child)]) -> Vec<u16> {
    instances.iter().map(|(port, _)| *port).collect()
}

fn start_instance(script: &Path, scratch: &Scratch) -> Result<(u16, Child)> {
    let port = free_port()?;
    let mut child = Program::new(&tools::find("node")?)?
        .args([script])
        .env("PORT", port.to_string())
        .start(scratch.path().join(format!("deploy-{port}.log")))?;
    child.wait_until(PATIENCE, |output| {
        output.lines().any(|line| line == "ready")
    })?;
    Ok((port, child))
}

fn all_ended(pids: &[Pid]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while pids.iter().any(|&pid| kill(pid, None).is_ok()) {
        if Instant::now() > deadline {
            bail!("nginx's old processes did not end");
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_a_system_or_a_group_of_them() {
        let named = |only: &str| {
            let only = [only.to_owned()];
            SYSTEMS.iter().filter(|one| one.is_named(&only)).count()
        };
        assert_eq!(named("maitred"), 4);
        assert_eq!(named("maitred:request"), 2);
        assert_eq!(named("pm2"), 1);
        assert_eq!(named("caddy"), 0);
        assert!(System::Pm2.is_named(&[]));
    }
}
