//! The same app without maitred: what a flood does to its workers by themselves, as a measure.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use super::{APP, Transport};
use crate::harness::{PATIENCE, free_port, tool};

/// Two workers that share a socket, with nginx in front where a client is named in a PROXY header.
pub(super) struct Without {
    pub(super) door: SocketAddr,
    children: Vec<Child>,
}

impl Without {
    pub(super) fn start(folder: &Path, transport: Transport) -> Self {
        let port = free_port();
        let mut children = vec![workers(folder, port)];
        let door = match transport {
            Transport::Proxied => {
                let door = free_port();
                children.push(nginx(folder, door, port));
                door
            }
            _ => port,
        };
        Self {
            door: SocketAddr::from((Ipv4Addr::LOCALHOST, door)),
            children,
        }
    }
}

impl Drop for Without {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn workers(folder: &Path, port: u16) -> Child {
    let program = format!(
        "const cluster = require('cluster'), http = require('http'), port = {port};
        cluster.schedulingPolicy = cluster.SCHED_NONE;
        if (cluster.isPrimary) {{
          let left = 2;
          cluster.on('listening', () => {{ if (--left === 0) console.log('ready'); }});
          cluster.fork(); cluster.fork();
        }} else {{ {APP} }}"
    );
    let script = folder.join("without.cjs");
    fs::write(&script, program).unwrap();
    let mut command = Command::new(tool("node"));
    let command = command.arg(&script).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    child
}

fn nginx(folder: &Path, door: u16, port: u16) -> Child {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};"))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
        events {{ worker_connections 4096; }}
        http {{
          access_log off; keepalive_requests 1000000; {folders}
          upstream app {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 1000000; }}
          server {{
            listen {door} proxy_protocol backlog=4096;
            location / {{
              proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";
            }}
          }}
        }}"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config).unwrap();
    let mut command = Command::new(tool("nginx"));
    let command = command.args(["-e", "stderr", "-p"]).arg(folder);
    let child = command.arg("-c").arg(&path).spawn().unwrap();
    let began = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, door)).is_err() {
        assert!(began.elapsed() < PATIENCE, "nginx does not listen");
        thread::yield_now();
    }
    child
}
