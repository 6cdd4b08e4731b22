//! nginx as people put it before several instances: least_conn, connections to
//! the instances kept alive, and nothing tighter than the load needs; in one
//! process, or in several that count connections together.

use std::fmt::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::child::{Child, Program};
use crate::scratch::Scratch;
use crate::tools;

pub(crate) fn start(
    port: u16,
    backends: &[u16],
    processes: u16,
    scratch: &Scratch,
) -> Result<Child> {
    let configuration = configure(port, backends, processes, scratch)?;
    // Without -e an ordinary user is warned of /var/log/nginx before the
    // configuration is read.
    Program::new(&tools::find("nginx")?)?
        .args(["-e", "stderr", "-p"])
        .args([scratch.path()])
        .args(["-c"])
        .args([&configuration])
        .start(scratch.path().join(format!("nginx-{port}.log")))
}

/// Writes its configuration, which it reads at its start and when it is asked to.
pub(crate) fn configure(
    port: u16,
    backends: &[u16],
    processes: u16,
    scratch: &Scratch,
) -> Result<PathBuf> {
    let name = format!("nginx-{port}");
    scratch.write(
        &format!("{name}.conf"),
        &configuration(&name, port, backends, processes),
    )
}

/// `nginx -s reload`: new processes with the new configuration take over, and the old ones finish.
pub(crate) fn reload(configuration: &Path, scratch: &Scratch) -> Result<()> {
    let output = Command::new(tools::find("nginx")?)
        .args(["-s", "reload", "-e", "stderr", "-p"])
        .arg(scratch.path())
        .arg("-c")
        .arg(configuration)
        .output()
        .context("running nginx -s reload")?;
    if !output.status.success() {
        bail!(
            "nginx -s reload {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

pub(crate) fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn configuration(name: &str, port: u16, backends: &[u16], processes: u16) -> String {
    let servers = backends.iter().fold(String::new(), |mut servers, backend| {
        let _ = writeln!(servers, "        server 127.0.0.1:{backend};");
        servers
    });
    // Without it each process counts connections by itself.
    let zone = if processes > 1 {
        "        zone app 64k;\n"
    } else {
        ""
    };
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {name}-{kind};\n"))
        .concat();
    format!(
        "daemon off;
worker_processes {processes};
worker_rlimit_nofile 20000;
pid {name}.pid;
error_log stderr error;
events {{
    worker_connections 16384;
}}
http {{
    access_log off;
    keepalive_requests 1000000000;
{folders}    upstream app {{
{zone}        least_conn;
{servers}        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {port} backlog=4096;
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_backend_after_the_policy() {
        let text = configuration("n", 80, &[81, 82], 2);
        let policy = text.find("least_conn;").unwrap();
        for backend in [
            "server 127.0.0.1:81;",
            "server 127.0.0.1:82;",
            "keepalive 256;",
        ] {
            assert!(text.find(backend).unwrap() > policy);
        }
    }
}
