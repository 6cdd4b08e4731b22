//! Small and large answers, as many as there can be.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Arguments, Load, Sample};
use crate::contender::{HELLO_BODY, Running};
use crate::load::clients::Clients;
use crate::load::closed::{Body, Close, Mode, Settings};
use crate::stats::{percentile, sorted};
use crate::tree;

/// What the app answers at `/large`.
const LARGE: Body = Body::repeated(&[b'x'; 4096], 1024 * 1024);

/// Before the first measurement, so that the runtimes have compiled their code.
const FIRST_WARM_UP: Duration = Duration::from_secs(1);
/// Before each measurement.
const WARM_UP: Duration = Duration::from_millis(500);

pub(super) fn warm_up(arguments: &Arguments, running: &Running) -> Result<()> {
    client(arguments, Load::Small, 64, running)?.run(FIRST_WARM_UP)?;
    Ok(())
}

pub(super) fn sample(
    arguments: &Arguments,
    load: Load,
    clients: u16,
    running: &Running,
) -> Result<Sample> {
    let balancer = running.balancer();
    let mut client = client(arguments, load, clients, running)?;
    let warm_up = client.run(WARM_UP)?;
    let before = tree::cpu_time(&balancer);
    let tally = client.run(Duration::from_secs_f64(arguments.seconds))?;
    let used = tree::cpu_time(&balancer) - before;
    if tally.requests == 0 {
        bail!("nothing was answered");
    }
    let latencies = sorted(&client.latencies());
    let requests = tally.requests as f64;
    Ok(Sample {
        rate: requests / tally.elapsed.as_secs_f64(),
        p50: percentile(&latencies, 0.5),
        p99: percentile(&latencies, 0.99),
        cpu: used.as_secs_f64() * 10_000.0 / requests,
        errors: warm_up.errors + tally.errors + client.drain()?.errors,
        to_ideal: None,
    })
}

fn client(arguments: &Arguments, load: Load, clients: u16, running: &Running) -> Result<Clients> {
    let (path, body) = match load {
        Load::Large => ("/large", LARGE),
        Load::Small | Load::Mixed => ("/", HELLO_BODY),
    };
    let settings = Settings {
        port: running.port,
        path,
        body,
        connections: clients.into(),
        mode: Mode::KeepAlive,
        close: Close::Reset,
    };
    Clients::new(&settings, arguments.common.threads())
}
