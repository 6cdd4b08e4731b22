//! A hundred apps and a thousand instances, made up: the page keeps pace with them.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dashboard::{
    Access, App, Board, Condition, Figures, Hands, Instance, Kind, Lines, Listener, LogLine, Order,
    Refused, Seen, Settings, Unit,
};

use crate::harness::alone;
use crate::page::{browse, pictures};

const APPS: u32 = 100;
const LARGE: u32 = 901;

/// What an update may cost, in milliseconds of the page's thread: the page's own code (about 12), and with
/// layout and paint (about 110). How fast a machine lays out is not for a test to say: the second bound is
/// there for what grows with the square of the rows.
const SCRIPT: f64 = 200.0;
const ALL: f64 = 1000.0;

/// In milliseconds since 1970.
fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Hands that have nothing to act on, and a log that never ends.
struct MadeUp;

struct Endless(u64);

impl Lines for Endless {
    fn take(&mut self, most: usize) -> Vec<LogLine> {
        let lines = (0..most.min(100)).map(|_| {
            self.0 += 1;
            LogLine {
                at: None,
                kind: Kind::Out,
                id: Some(1),
                text: format!("line {} of many, with some text in it", self.0),
            }
        });
        lines.collect()
    }
}

impl Hands for MadeUp {
    fn act(&self, _: &Order) -> Result<String, Refused> {
        Err(Refused::Failed("made up".into()))
    }

    fn logs(&self, _: &str, _: usize) -> Result<Vec<LogLine>, Refused> {
        Ok(Vec::new())
    }

    fn follow(&self, _: &str, _: usize) -> Result<Box<dyn Lines>, Refused> {
        Ok(Box::new(Endless(0)))
    }

    fn metrics(&self, _: bool) -> Result<(&'static str, String), Refused> {
        Ok(("text/plain", String::new()))
    }
}

/// All of it, with other figures each time.
fn seen(random: &mut fastrand::Rng, given: &mut [u64]) -> Vec<Seen> {
    let mut id = 0;
    let mut all = Vec::new();
    for app in 0..APPS {
        let (name, count) = match app {
            0 => ("large".to_owned(), LARGE),
            other => (format!("app-{other}"), 1),
        };
        let mut instances = Vec::new();
        let mut all_given = 0;
        for number in 0..count {
            let so_far = &mut given[id as usize];
            *so_far += random.u64(0..50);
            instances.push(Instance {
                id,
                number,
                condition: Condition::Well,
                status: "online".into(),
                pid: Some(1000),
                since: Some(now_ms() - 100_000),
                open: Some(random.u64(0..20)),
                given: Some(*so_far),
                cpu: random.f32() * 100.0,
                memory: random.u64(40 << 20..90 << 20),
                ..Instance::default()
            });
            all_given += *so_far;
            id += 1;
        }
        all.push(Seen {
            app: App {
                name,
                namespace: "default".into(),
                unit: Unit::Requests,
                condition: Condition::Well,
                status: format!("{count} online"),
                is_to_run: true,
                is_ready: true,
                version: "1".into(),
                listeners: vec![Listener {
                    address: "127.0.0.1:80".into(),
                    workers: 1,
                    waiting: random.u64(0..9),
                }],
                instances,
                figures: Figures::default(),
            },
            steps: (0..15).map(|step| all_given * step).collect(),
        });
    }
    all
}

#[test]
fn a_thousand_instances_do_not_hold_up_the_page() {
    let _turn = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let token = "a-token-for-this-test";
    let board = Board::new();
    let told = board.clone();
    let mut random = fastrand::Rng::with_seed(1);
    let mut given = vec![0; (APPS + LARGE) as usize];
    // Ten minutes have passed.
    for second in (1..600).rev() {
        board.see(now_ms() - second * 1000, seen(&mut random, &mut given));
    }
    thread::spawn(move || {
        loop {
            told.see(now_ms(), seen(&mut random, &mut given));
            thread::sleep(Duration::from_millis(250));
        }
    });
    let access = Access::new(token.to_owned(), "a-session-for-this-test".to_owned(), port);
    let hands = Arc::new(MadeUp);
    let (until, _ends) = UnixStream::pair().unwrap();
    let settings = Settings {
        listener,
        access,
        board,
        hands,
        until,
    };
    // It serves until this test ends.
    thread::spawn(move || dashboard::run(settings));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://127.0.0.1:{port}/?token={token}");
    let seen = browse(&url, "crowd", &pictures(folder.path()));
    assert_eq!(seen["faults"].as_array().map(Vec::len), Some(0), "{seen}");
    assert_eq!(
        (&seen["apps"], &seen["rows"]),
        (&100.into(), &901.into()),
        "{seen}"
    );
    println!("{seen}");
    for (what, most) in [("script", SCRIPT), ("all", ALL)] {
        let cost = seen[what].as_f64().unwrap();
        assert!(cost > 0.0 && cost < most, "{what}: {seen}");
    }
}
