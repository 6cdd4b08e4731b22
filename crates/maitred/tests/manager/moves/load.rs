//! Clients of many kinds, all at once, while something is done with their app.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::kinds::Kind;
use crate::client::Client;
use crate::harness::Door;
use crate::home::Home;

/// What is being done with the app, so that a client's failure tells of it.
pub(super) struct Step(Mutex<String>);

impl Step {
    pub(super) fn begins(&self, name: impl Into<String>) {
        *self.0.lock().unwrap() = name.into();
    }

    fn name(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// Runs one client until it is told to stop; how often it has done what it does, or what went wrong.
fn run(kind: Kind, address: SocketAddr, stop: &Receiver<()>, step: &Step) -> Result<u64, String> {
    let mut count = 0;
    let wrong = |count, error: io::Error| {
        format!("{}, after {count}, at {}: {error}", kind.name, step.name())
    };
    let mut client = Client::new(address).map_err(|error| wrong(count, error))?;
    while stop.recv_timeout(client.pause) == Err(RecvTimeoutError::Timeout) {
        let connected = if kind.anew { client.connect() } else { Ok(()) };
        let acted = connected.and_then(|()| (kind.act)(&mut client));
        acted.map_err(|error| wrong(count, error))?;
        count += 1;
        // So they leave the machine time for workers to start.
        client.pause = client.pause.max(Duration::from_millis(5));
    }
    Ok(count)
}

pub(super) fn address(home: &Home) -> SocketAddr {
    match home.door() {
        Door::Tcp(address) => address,
        Door::Unix(_) => panic!("a TCP port"),
    }
}

/// Clients of all these kinds, while something is done with the app. None of them is refused, cut, or
/// answered wrongly.
pub(super) fn under_load(home: &Home, kinds: &[Kind], act: impl FnOnce(&Step)) {
    let (address, step) = (address(home), Step(Mutex::new("start".to_owned())));
    let results = thread::scope(|scope| {
        let clients: Vec<(Sender<()>, _)> = kinds
            .iter()
            .cycle()
            .take(2 * kinds.len())
            .map(|kind| {
                let ((stop, stopped), step) = (channel(), &step);
                (
                    stop,
                    scope.spawn(move || run(*kind, address, &stopped, step)),
                )
            })
            .collect();
        act(&step);
        step.begins("the end");
        let (stops, threads): (Vec<_>, Vec<_>) = clients.into_iter().unzip();
        drop(stops);
        let results = threads.into_iter().map(|it| it.join().unwrap());
        results.collect::<Vec<_>>()
    });
    let wrong: Vec<_> = results.iter().filter_map(|it| it.as_ref().err()).collect();
    let log = || fs::read_to_string(home.path().join("apps/app/supervisor.log")).unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", log());
    assert!(results.iter().all(|it| *it != Ok(0)), "{results:?}");
}
