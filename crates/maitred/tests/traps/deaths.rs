//! Workers that die: who was not taken yet is served by somebody else.

use std::net::TcpStream;
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Place, Visit, visit};
use crate::harness::{Setup, beside_others};
use crate::victims::setup;

const QUEUED: usize = 20;

/// Who answered whom, in whatever order they were served; each leaves as soon as it is answered.
fn answers(visits: Vec<Visit>) -> Vec<io::Result<i32>> {
    let visitors: Vec<_> = visits
        .into_iter()
        .map(|mut visit| thread::spawn(move || visit.answer()))
        .collect();
    visitors
        .into_iter()
        .map(|visitor| visitor.join().unwrap())
        .collect()
}

/// Two workers, each busy with a visitor that stays. More visitors come, and the first worker
/// dies. They are served as soon as the second one is free again.
fn leaves_its_visitors_to_others(signals: &[Signal], policy: &str) {
    let _turn = beside_others();
    let mut run = setup("gcc", "holders", &["alone"])
        .instances(2)
        .option("--balance", policy)
        .option("--restart-delay", "600000")
        .start();
    run.listening(2);
    let place = Place::Port(run.port);
    let stay = || {
        let mut visit = Visit::begin(&place).unwrap();
        let who = visit.answer().unwrap();
        (visit, who)
    };
    let (first, dead) = stay();
    let (second, alive) = stay();
    assert_ne!(dead, alive);
    // These lie in the channels of both or wait in the queue.
    let queued: Vec<_> = (0..QUEUED).map(|_| Visit::begin(&place).unwrap()).collect();
    for signal in signals {
        kill_process(Pid::from_raw(dead).unwrap(), *signal).unwrap();
    }
    run.event("the death", |event| {
        event.is("exited") && event.pid() == dead
    });
    drop(second);
    for (number, answer) in answers(queued).into_iter().enumerate() {
        match answer {
            Ok(who) => assert_eq!(who, alive),
            Err(error) => panic!("visitor {number}: {error}\n{}", run.story()),
        }
    }
    drop(first);
}

#[test]
fn a_busy_worker_that_is_killed() {
    leaves_its_visitors_to_others(&[Signal::KILL], "next_available");
}

#[test]
fn a_busy_worker_that_is_killed_with_visitors_in_its_channel() {
    leaves_its_visitors_to_others(&[Signal::KILL], "round_robin");
}

#[test]
fn a_worker_that_is_stopped_and_then_killed() {
    leaves_its_visitors_to_others(&[Signal::STOP, Signal::KILL], "next_available");
}

#[test]
fn a_worker_that_is_stopped_and_then_killed_with_visitors_in_its_channel() {
    leaves_its_visitors_to_others(&[Signal::STOP, Signal::KILL], "round_robin");
}

/// No worker is up: who comes now waits for the next one.
#[test]
fn all_workers_down() {
    let _turn = beside_others();
    let mut run = setup("gcc", "holders", &["alone"])
        .instances(2)
        .option("--restart-delay", "500")
        .start();
    run.listening(2);
    let place = Place::Port(run.port);
    let mut workers = [0, 1].map(|instance| {
        run.event("a worker", |event| {
            event.is("listening") && event.instance() == instance
        })
    });
    for _ in 0..2 {
        for worker in &workers {
            kill_process(Pid::from_raw(worker.pid()).unwrap(), Signal::KILL).unwrap();
        }
        let deaths = workers.each_ref().map(|worker| {
            run.event_after(worker, "the death", |event| {
                event.is("exited") && event.pid() == worker.pid()
            })
        });
        let waiting = (0..QUEUED).map(|_| Visit::begin(&place).unwrap()).collect();
        for answer in answers(waiting) {
            let who = answer.unwrap();
            assert!(workers.iter().all(|worker| worker.pid() != who));
        }
        // One of them may have answered all, before the other one was there to be killed.
        workers = deaths.map(|death| {
            run.event_after(&death, "its successor", |event| {
                event.is("listening") && event.instance() == death.instance()
            })
        });
    }
}

/// Workers that end as soon as they listen, a few times: nobody is refused in the meantime, once
/// the port has been opened.
#[test]
fn a_worker_that_ends_as_soon_as_it_listens() {
    let _turn = beside_others();
    let text = r#"
import os, socket
count = os.path.join(os.path.dirname(__file__), "count")
with open(count, "a") as file:
    file.write("x")
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
if os.path.getsize(count) <= 5:
    os._exit(3)
while True:
    client, _ = listener.accept()
    client.sendall(f"{os.getpid()}\n".encode())
    client.close()
"#;
    let setup = Setup::program("hasty.py", text)
        .instances(1)
        .option("--restart-delay", "50");
    let folder = setup.folder().to_owned();
    let mut run = setup.start();
    run.listening(1);
    let place = Place::Port(run.port);
    let visits: Vec<_> = (0..QUEUED).map(|_| Visit::begin(&place).unwrap()).collect();
    for mut visit in visits {
        visit.answer().unwrap();
    }
    assert_eq!(fs::read_to_string(folder.join("count")).unwrap(), "xxxxxx");
    visit(&place).unwrap();
}

/// A visitor that leaves before anybody has taken it harms nobody.
#[test]
fn visitors_that_leave_again() {
    let _turn = beside_others();
    let mut run = setup("gcc", "holders", &["alone"]).instances(1).start();
    run.listening(1);
    let place = Place::Port(run.port);
    let mut inside = Visit::begin(&place).unwrap();
    inside.answer().unwrap();
    for number in 0..200 {
        let stream = TcpStream::connect(("127.0.0.1", run.port)).unwrap();
        if number % 2 == 0 {
            // With a reset instead of a farewell.
            rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO))
                .unwrap();
        }
    }
    drop(inside);
    visit(&place).unwrap();
    let exited = run.events().into_iter().find(|event| event.is("exited"));
    assert!(exited.is_none(), "{}", run.story());
}
