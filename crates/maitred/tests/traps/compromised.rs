//! A compromised worker of another user, at the registration socket of root's supervisor: whatever it
//! says and sends, nothing changes that it could not change by itself, and other listeners and other
//! apps are served on. (Where the tests run as an ordinary user, the worker is of the same one.)
//!
//! `-- --nocapture` shows how long others waited at most during each attack, beside a server that has
//! nothing to do with maitred: it waits for processors, as they do.

mod bench;
mod raised;
mod things;
mod unix_paths;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{Signal, kill_process};
use sys::{CapabilitySet, Identity, Rights};
use wire::{Address, Outcome, Reply, Request, Verb};

use crate::agent::request;
use crate::client::{Place, visits};
use crate::harness::{alone, children_of, free_port};
use bench::{Bench, LONGEST, Worker};

const NOBODY: u32 = 65534;

/// Each kind of attack that races against a renamer is tried this often. An ordinary user's worker has
/// all its rights anyway: there it only has to find an end.
fn tries() -> usize {
    if is_root() { 10_000 } else { 500 }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What the worker is allowed, to do the same without maitred.
fn rights_of_the_worker() -> Rights {
    let identity = if is_root() {
        Identity {
            uid: NOBODY,
            gid: NOBODY,
            groups: vec![NOBODY],
        }
    } else {
        Identity::own().unwrap()
    };
    Rights {
        identity,
        capabilities: CapabilitySet::empty(),
    }
}

fn tcp_address(port: u16) -> Address {
    let [high, low] = port.to_be_bytes();
    let rest = [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let family = AddressFamily::INET.as_raw().to_ne_bytes();
    Address::new(&[&family[..], &[high, low], &rest].concat()).unwrap()
}

fn socket_of(family: AddressFamily) -> OwnedFd {
    socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn with_address(verb: Verb, fd: i32, address: Address) -> Request {
    Request {
        fd,
        address,
        ..request(verb)
    }
}

fn errno_of(reply: Option<Reply>) -> Option<i32> {
    match reply?.outcome {
        Outcome::Failed(errno) => Some(errno),
        _ => None,
    }
}

const EACCES: i32 = 13;
const ENOBUFS: i32 = 105;

/// Ports that are root's.
fn privileged_ports(bench: &Bench) {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let first: u16 = first.trim().parse().unwrap();
    for port in [1, 22, 80, 443, 1023].into_iter().filter(|it| *it < first) {
        for verb in [Verb::Bind, Verb::Listen] {
            let socket = socket_of(AddressFamily::INET);
            let reply = bench.ask(with_address(verb, 3, tcp_address(port)), &[socket]);
            assert_eq!(errno_of(reply), Some(EACCES), "{verb:?} {port}: {reply:?}");
        }
    }
}

/// Every option of every level: what the kernel refuses to the worker itself, it does not get.
fn socket_options(bench: &Bench) {
    const LEVELS: [i32; 14] = [0, 1, 6, 17, 41, 58, 132, 136, 255, 263, 273, 280, 282, 284];
    let port = free_port();
    let theirs = socket_of(AddressFamily::INET);
    let listen = with_address(Verb::Listen, 3, tcp_address(port));
    let (reply, channel) = bench.agent.ask(&listen.encode(), &[theirs]).unwrap();
    assert_eq!(reply.outcome, Outcome::Channel);
    let channel = channel.unwrap();
    let (rights, mut refused) = (rights_of_the_worker(), 0);
    for level in LEVELS {
        for option in 0..=130 {
            for value in [
                &1i32.to_ne_bytes()[..],
                &i32::MAX.to_ne_bytes(),
                b"lo\0\0\0\0",
            ] {
                // A new one for each, for some options change what others mean.
                let native = socket_of(AddressFamily::INET);
                let natively = rights
                    .act(|| sys::write_option(native.as_fd(), level, option, value))
                    .unwrap();
                let denied =
                    natively.is_err_and(|error| matches!(error.raw_os_error(), Some(1 | EACCES)));
                let request = Request {
                    arg: level,
                    arg2: option,
                    address: Address::new(value).unwrap(),
                    ..request(Verb::SetOption)
                };
                if denied {
                    refused += 1;
                    let sent = channel.try_clone().unwrap();
                    let reply = bench.ask(request, &[sent]);
                    // SO_REUSEPORT and its like are ours: the worker is told that they are set.
                    assert!(errno_of(reply).is_some(), "{level} {option}: {reply:?}");
                }
            }
        }
    }
    assert!(refused > 5, "{refused}");
    let close = Request {
        channel: reply.channel,
        ..request(Verb::Close)
    };
    assert_eq!(bench.ask(close, &[]), None);
}

/// Numbers that are another's: of processes, instances, descriptors and channels.
fn numbers_of_others(bench: &Bench) {
    let supervisor = children_of(bench.run.pid())[0];
    let other = children_of(bench.other_app.pid())[0];
    let sockets = fs::read("/proc/net/unix").unwrap();
    let sockets = String::from_utf8_lossy(&sockets).into_owned();
    let channels = sockets.lines().filter_map(|line| {
        let name = line.split_whitespace().last()?.strip_prefix('@')?;
        wire::channel_id(&[b"\x01\0\0", name.as_bytes()].concat())
    });
    for channel in channels.chain([0, 1, u64::MAX]) {
        let close = Request {
            channel,
            ..request(Verb::Close)
        };
        assert_eq!(bench.ask(close, &[]), None);
    }
    for number in [0, 1, -1, supervisor, other, i32::MAX, i32::MIN] {
        for verb in [Verb::Listen, Verb::Adopt, Verb::SetOption, Verb::GetOption] {
            let address = tcp_address(bench.other_app.port);
            let request = Request {
                tid: number,
                instance: number.cast_unsigned(),
                cluster_worker: number % 2 == 0,
                ..with_address(verb, number, address)
            };
            let reply = bench.ask(request, &[socket_of(AddressFamily::INET)]);
            let got = reply.map(|reply| reply.outcome);
            assert!(
                matches!(got, Some(Outcome::Failed(_) | Outcome::Native)),
                "{request:?}: {got:?}"
            );
        }
    }
}

/// The same address again and again, and overlapping ones, until the bound; the last attack, for
/// nothing of this process is heard of any more after that.
fn claims_until_the_bound(bench: &Bench) {
    let (port, refused) = (free_port(), Some(ENOBUFS));
    let replies: Vec<_> = (0..1000)
        .map(|fd| {
            let mut address = tcp_address(port).as_bytes().to_vec();
            // 127.0.0.1, and all addresses.
            if fd % 2 == 1 {
                address[4..8].fill(0);
            }
            let bind = with_address(Verb::Bind, fd, Address::new(&address).unwrap());
            errno_of(bench.ask(bind, &[socket_of(AddressFamily::INET)]))
        })
        .collect();
    let held = replies.iter().filter(|errno| **errno != refused).count();
    assert!((1..=256 + 500).contains(&held), "{held}");
    assert!(replies.ends_with(&[refused]), "{:?}", replies.last());
}

/// An attack, and what it is called in the figures.
type Attack = (&'static str, fn(&Bench));

const ATTACKS: &[Attack] = &[
    ("quiet", |_| {}),
    ("quiet, beside a renamer", unix_paths::swapped_only),
    ("paths of root's", unix_paths::of_root),
    (
        "create, chmod and delete, racing",
        unix_paths::bound_while_swapped,
    ),
    (
        "link and restore, racing",
        unix_paths::listened_while_swapped,
    ),
    (
        "a name that is swapped, racing",
        unix_paths::names_that_are_swapped,
    ),
    ("a long name, racing", unix_paths::long_names_while_swapped),
    ("removing by number", unix_paths::removed_by_number),
    ("descriptors of every kind", things::of_every_kind),
    ("a blocking listener", things::shared_and_blocking),
    ("sockets that linger", things::that_linger),
    (
        "sockets that linger in a channel",
        things::that_linger_in_a_channel,
    ),
    ("a listener of somebody else", things::of_somebody_else),
    ("privileged ports", privileged_ports),
    ("socket options", socket_options),
    ("numbers of others", numbers_of_others),
    ("claims until the bound", claims_until_the_bound),
];

/// Tries an attack. Whether a dispatcher was held up, even if only once.
fn is_held_up_by(bench: &mut Bench, name: &str, attack: fn(&Bench)) -> bool {
    bench.longest_waits(1);
    attack(bench);
    let [listener, app, without] = bench.is_unharmed(name);
    println!(
        "{name}: another listener waited {listener:?} at most, another app {app:?}, \
         without maitred {without:?}"
    );
    let seen = bench.not_held_up_for_long(name);
    println!("  dispatchers, its own and the other app's: {seen:?}");
    seen.iter().any(|seen| seen.longest_runs[0] >= LONGEST)
}

#[test]
fn a_compromised_worker_harms_nobody() {
    let _turn = alone();
    let mut bench = Bench::new(Worker::OfAnother);
    for (name, attack) in ATTACKS {
        // What the attack costs, it costs each time. What interrupts cost, and the host of a virtual
        // machine, does not come three times.
        let is_held_up = (0..3).all(|_| is_held_up_by(&mut bench, name, *attack));
        assert!(!is_held_up, "{name}");
    }
    // And a worker that starts now is heard.
    let Bench {
        pulses,
        mut run,
        other_port,
        ..
    } = bench;
    drop(pulses);
    let before = run.events().last().unwrap().clone();
    kill_process(run.newest_worker(), Signal::KILL).unwrap();
    let ending = format!(":{other_port}");
    run.event_after(&before, "a new worker", |event| {
        event.is("listening") && event.text("address").ends_with(&ending)
    });
    visits(&Place::Port(other_port), 10);
}

/// What a process may do goes by what it was when it connected.
#[test]
fn a_worker_that_becomes_a_program_of_root_s_gains_nothing() {
    let _turn = alone();
    let mut bench = Bench::new(Worker::Raised);
    for (name, attack) in [
        ("paths of root's", unix_paths::of_root as fn(&Bench)),
        ("privileged ports", privileged_ports),
        ("socket options", socket_options),
    ] {
        attack(&bench);
        bench.is_unharmed(name);
    }
}

/// Another user may change the folder in which a worker of the supervisor's own user binds.
#[test]
fn a_socket_that_another_user_swaps_leads_to_no_file_of_ours() {
    let _turn = alone();
    let mut bench = Bench::new(Worker::Own);
    unix_paths::names_that_are_swapped(&bench);
    bench.is_unharmed("a name that is swapped, racing");
}

/// Gives a path to the worker's user.
fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}
