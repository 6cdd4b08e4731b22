//! `maitred dashboard`: apps in a browser, and an API for programs.
//!
//! The server, and who may ask it, is in the crate of that name. Here is what it shows and does: a thread
//! looks at all apps each second as `monit` does, another one follows their events as `events` does, and
//! orders go the same ways as the commands of their names.

mod hands;
mod happenings;
mod seen;
mod token;

use std::io::{ErrorKind, IsTerminal, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, bail};
use clap::Args;
use process::sockets;
use rustix::process::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use super::live::sample::{EVERY, Looker};
use super::{Manner, together};
use dashboard::{Access, Authority, Board};
use hands::Commands;
use home::Home;

/// Show apps in a browser, with buttons to restart, reload, stop and scale them, and an API for programs.
///
/// Prints the address to open, with a token in it: who has the token can do with apps what you can do.
#[derive(Debug, Args)]
pub(super) struct Dashboard {
    /// Address to listen on, or a port of 127.0.0.1.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9615",
        value_parser = address
    )]
    listen: SocketAddr,

    /// Show apps, and take no orders.
    #[arg(long)]
    read_only: bool,

    /// Listen on an address that other machines reach. Nothing is encrypted: put a proxy with TLS in front.
    #[arg(long)]
    expose_without_tls: bool,

    /// Answer for this name as well as for IP addresses and localhost: that of a proxy in front.
    #[arg(long, value_name = "NAME", value_parser = name)]
    allow_host: Vec<Authority>,

    /// File with the token, of 16 characters or more; by default a random one is made.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Dashboard {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        if !self.listen.ip().to_canonical().is_loopback() && !self.expose_without_tls {
            bail!(
                "{} is reached from other machines, and the dashboard has no TLS: whoever reads its \
                 traffic gets the token, and can do with apps what you can. Keep to 127.0.0.1 and use an \
                 ssh tunnel or a proxy with TLS, or pass --expose-without-tls",
                self.listen
            );
        }
        let home = Home::find()?;
        let token = match &self.token_file {
            Some(path) => token::from_file(path)?,
            None => token::random()?,
        };
        let listener = listen(self.listen, &home)?;
        let at = listener.local_addr().context("asking for the address")?;
        let board = Board::new();
        look(home.clone(), board.clone()).context("starting a thread")?;
        happenings::follow(home.clone(), board.clone()).context("starting a thread")?;
        let until = signals().context("preparing for signals")?;
        self.say_where(at, &token, manner)?;
        let access = Access::new(token, token::random()?, at.port());
        dashboard::run(dashboard::Settings {
            listener,
            access: access.named(self.allow_host).read_only(self.read_only),
            board,
            hands: Arc::new(Commands { home }),
            until,
        })
        .context("serving")?;
        Ok(0)
    }

    /// Prints the address to open.
    fn say_where(&self, at: SocketAddr, token: &str, manner: &Manner) -> anyhow::Result<()> {
        let mut shown = at;
        if shown.ip().is_unspecified() {
            shown.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        match &self.token_file {
            // It lasts, and what is printed may be kept in a log.
            Some(file) => {
                let file = super::shown::plain(&file.display().to_string());
                together::print(format!("http://{shown}/?token=… (the content of {file})\n"))?;
            }
            None => together::print(format!("http://{shown}/?token={token}\n"))?,
        }
        if stdout().is_terminal() {
            together::say(
                manner,
                "open this address in a browser; Ctrl-C ends the dashboard",
            );
        }
        Ok(())
    }
}

/// Listens at an address; the error says who has it.
fn listen(address: SocketAddr, home: &Home) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address);
    if let Err(error) = &listener
        && error.kind() == ErrorKind::AddrInUse
        && let Some(holder) = sockets::listener_at(address.port())
    {
        let app = Pid::from_raw(holder.pid).and_then(|pid| home.app_of(pid));
        let app = app.and_then(|folder| folder.record().ok());
        let of_app = app.map_or_else(String::new, |it| format!(" of the app {}", it.app.name));
        bail!("{address} is in use by {holder}{of_app}: choose another address with --listen");
    }
    listener.with_context(|| format!("listening on {address}"))
}

/// What can be read once a signal asks for the end.
fn signals() -> std::io::Result<UnixStream> {
    let (until, signalled) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        pipe::register(signal, signalled.try_clone()?)?;
    }
    Ok(until)
}

/// Looks at all apps, again and again, and puts on the board what it sees.
fn look(home: Home, board: Arc<Board>) -> std::io::Result<()> {
    let mut looker = Looker::new(home);
    let mut told = Vec::new();
    let look = move || {
        loop {
            let sample = looker.look();
            for fault in &sample.faults {
                if !told.contains(fault) {
                    together::complain(fault);
                }
            }
            told.clone_from(&sample.faults);
            let now = sample.now;
            board.see(now, seen::all(sample));
            thread::sleep(EVERY);
        }
    };
    thread::Builder::new().name("samples".into()).spawn(look)?;
    Ok(())
}

/// An address, or a port of this machine alone.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text
        .parse()
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    port.or_else(|_| text.parse())
        .map_err(|_| "expected an address such as 127.0.0.1:9615, or a port".to_owned())
}

fn name(text: &str) -> Result<Authority, String> {
    let name = text.parse::<Authority>().ok();
    let name = name.filter(|name| !name.host().is_empty() && !text.contains('@'));
    name.ok_or_else(|| "expected a name such as dash.example.com, or NAME:PORT".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names() {
        assert_eq!(
            address("80").map(|it| it.to_string()),
            Ok("127.0.0.1:80".to_owned())
        );
        assert!(address("[::1]:80").is_ok() && address("0.0.0.0:0").is_ok());
        for bad in ["", "localhost", "127.0.0.1", "65536", ":80"] {
            assert!(address(bad).is_err(), "{bad}");
        }
        assert!(name("a.example").is_ok() && name("a.example:8443").is_ok());
        for bad in ["", "a/b", "u@a", "http://a", "a b"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
