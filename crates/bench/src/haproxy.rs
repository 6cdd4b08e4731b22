//! HAProxy as people put it before several instances: leastconn, connections to the instances kept
//! alive and shared among clients, with one thread or several.

use std::fmt::Write;

use anyhow::Result;

use crate::child::{Child, Program};
use crate::scratch::Scratch;
use crate::tools;

pub(crate) fn start(port: u16, backends: &[u16], threads: u16, scratch: &Scratch) -> Result<Child> {
    let name = format!("haproxy-{port}");
    let configuration = scratch.write(
        &format!("{name}.cfg"),
        &configuration(port, backends, threads),
    )?;
    Program::new(&tools::find("haproxy")?)?
        .args(["-db", "-f"])
        .args([&configuration])
        .start(scratch.path().join(format!("{name}.log")))
}

fn configuration(port: u16, backends: &[u16], threads: u16) -> String {
    let servers = backends.iter().fold(String::new(), |mut servers, backend| {
        let _ = writeln!(servers, "    server s{backend} 127.0.0.1:{backend}");
        servers
    });
    format!(
        "global
    nbthread {threads}
    maxconn 8000
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    option forwardfor
frontend all
    bind :{port}
    default_backend app
backend app
    balance leastconn
    http-reuse always
{servers}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_backend() {
        let text = configuration(80, &[81, 82], 1);
        assert!(text.contains("server s81 127.0.0.1:81\n") && text.contains("127.0.0.1:82\n"));
    }
}
