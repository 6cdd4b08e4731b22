//! `manager`: what maitred costs as a process manager beside pm2: the memory of
//! everything that it adds, the time that its commands take, and its CPU while
//! an app writes a lot. With `--many`, what 200 apps cost.

mod answers;
mod many;
mod pair;
pub(super) mod side;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::memory::Memory;
use crate::scratch::Scratch;
use crate::{goal, machine, tools};
use side::{Kind, Side};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Measure 200 apps with 1,000 instances instead
    #[arg(long)]
    many: bool,
    /// Measurements of each command
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Length of the measurements of CPU time
    #[arg(long, default_value_t = 5.0, value_parser = super::seconds)]
    seconds: f64,
    /// The maitred to measure instead of the one beside this program
    #[arg(long)]
    maitred: Option<PathBuf>,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    super::prepare()?;
    let machine = machine::describe();
    let maitred = arguments.maitred.as_deref();
    let programs = [
        ("maitred", Kind::Maitred.program(maitred)?),
        ("node", tools::find("node")?),
    ];
    let mut versions = tools::versions(&programs);
    // Asked for its version with the user's home, pm2 would write into that.
    versions["pm2"] = pm2_version()?.into();
    let scratch = Scratch::new()?;
    let sides = [Kind::Maitred, Kind::Pm2].map(|kind| Side::new(kind, maitred, &scratch));
    let [ours, pm2] = sides;
    let sides = [ours?, pm2?];
    let (figures, goals) = if arguments.many {
        many::measure(arguments, &sides, &scratch)?
    } else {
        pair::measure(arguments, &sides, &scratch)?
    };
    goal::print(&goals);
    let value = json!({
        "benchmark": if arguments.many { "manager --many" } else { "manager" },
        "machine": machine,
        "versions": versions,
        "settings": { "rounds": arguments.rounds, "seconds": arguments.seconds },
        "figures": figures,
        "goals": goal::to_json(&goals),
    });
    super::write_json(arguments.out.as_deref(), &value)
}

pub(super) fn pm2_version() -> Result<String> {
    let program = tools::find("pm2")?
        .canonicalize()
        .context("finding pm2's package")?;
    let package = program
        .ancestors()
        .map(|folder| folder.join("package.json"))
        .find(|path| path.is_file())
        .context("finding pm2's package.json")?;
    let text = std::fs::read_to_string(package).context("reading pm2's package.json")?;
    let package: Value = serde_json::from_str(&text).context("reading pm2's package.json")?;
    Ok(package["version"].as_str().unwrap_or("unknown").to_owned())
}

/// Writes a config file of so many apps, and starts them all.
fn start_apps(
    side: &Side,
    scratch: &Scratch,
    apps: usize,
    mut entry: impl FnMut(usize) -> Result<Value>,
) -> Result<()> {
    let entries = (0..apps).map(&mut entry).collect::<Result<Vec<Value>>>()?;
    let name = format!("{}-{apps}.json", side.kind.name());
    // pm2 goes by the name's end; each case has its own text.
    let path = scratch.path().join(name);
    std::fs::write(&path, json!({ "apps": entries }).to_string())
        .with_context(|| format!("writing {}", path.display()))?;
    side.run(["start".as_ref(), path.as_os_str()]).map(drop)
}

/// All workers, which must be so many.
fn workers(side: &Side, wanted: usize) -> Result<Vec<Pid>> {
    let workers = side.workers()?;
    if workers.len() != wanted {
        bail!(
            "{} shows {} instances online instead of {wanted}",
            side.kind.name(),
            workers.len()
        );
    }
    Ok(workers)
}

fn memory_json(memory: Memory) -> Value {
    json!({ "rss_mb": memory.rss, "pss_mb": memory.pss })
}
