//! A proxy that is replaced while the one before it has still clients.

use super::*;

/// Three proxies: the second one follows the first, and the third the second.
struct Three {
    proxies: [World; 3],
}

impl Three {
    /// What the second one is at when the third comes, is up to `between`.
    fn after(first: World, second: World, between: impl FnOnce(&mut Two)) -> Self {
        let two = Two {
            old: first,
            new: second,
        };
        let mut two = two.begin();
        between(&mut two);
        let third = World::new(2, settings(RequestPolicy::LeastConn));
        let mut three = Self {
            proxies: [two.old, two.new, third],
        };
        let (successor, predecessor) = way();
        three.proxies[2].proxy.follow(predecessor).unwrap();
        three.proxies[1].hand_over(successor);
        three.run();
        three
    }

    fn run(&mut self) {
        for _ in 0..10_000 {
            let any = self.proxies.iter_mut().map(|world| {
                let any = world.see_to_events();
                world.end_turn() || any
            });
            if any.filter(|any| *any).count() == 0 {
                return;
            }
        }
        panic!("the proxies do not come to rest");
    }

    fn send(&mut self, stream: &mut UnixStream, bytes: impl AsRef<[u8]>) {
        stream.write_all(bytes.as_ref()).unwrap();
        self.run();
    }

    fn answer(&mut self) -> String {
        let (_, mut worker) = self.proxies[2].take();
        let asked = arrived(&mut worker).0;
        self.send(&mut worker, LAST);
        asked
    }

    fn clients(&self) -> [usize; 3] {
        [0, 1, 2].map(|at| self.proxies[at].proxy.clients.len())
    }

    fn have_handed_over(&self) -> [bool; 2] {
        [0, 1].map(|at| self.proxies[at].proxy.has_handed_over())
    }
}

fn next() -> World {
    World::new(2, settings(RequestPolicy::LeastConn))
}

/// A client that the first one has in progress goes through the second one to the third.
#[test]
fn clients_go_on_to_the_last_one() {
    let mut first = next();
    let (mut slow, mut worker) = at_worker(&mut first, GET);
    let mut idle = first.connect();
    let mut three = Three::after(first, next(), |_| {});
    assert_eq!(three.clients(), [1, 0, 1]);
    assert_eq!(three.have_handed_over(), [false; 2]);
    // The third one knows of the request.
    let has = |three: &Three| {
        let all = [MemberId(0), MemberId(1)];
        three.proxies[2].proxy.awaited(&all, false, None).is_some()
    };
    assert!(has(&three));
    three.send(
        &mut worker,
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab",
    );
    three.send(&mut slow, get("next"));
    three.send(&mut worker, "cd");
    assert!(arrived(&mut slow).0.ends_with("abcd"));
    assert_eq!(three.clients(), [0, 0, 2]);
    assert!(three.answer().starts_with("GET /next "));
    assert!(arrived(&mut slow).0.ends_with("ok"));
    three.send(&mut idle, get("idle"));
    assert!(three.answer().starts_with("GET /idle "));
    assert!(!has(&three));
    // The second one ends when the first has.
    assert_eq!(three.have_handed_over(), [true, false]);
    let [first, second, third] = three.proxies;
    drop(first);
    let proxies = [next(), second, third];
    let mut three = Three { proxies };
    three.run();
    assert!(three.have_handed_over()[1]);
}

/// So do requests that the first one has sent to the second, whether a worker has them or not.
#[test]
fn requests_go_on_to_the_last_one() {
    let mut first = next();
    let mut client = http2::greeted(&mut first);
    let mut one = settings(RequestPolicy::NextAvailable);
    one.balance.max_concurrency = 1;
    let mut workers = Vec::new();
    let mut three = Three::after(first, World::new(1, one), |two| {
        two.send(&mut client, http2::get(1));
        two.send(&mut client, http2::get(3));
        // One is at work, one waits.
        workers.push(two.new.take().1);
        assert_eq!(two.new.proxy.waiting(GATE), 1);
    });
    let third = &three.proxies[2].proxy;
    assert!(third.awaited(&[MemberId(0)], false, None).is_some());
    // A third one comes by now.
    three.send(&mut client, http2::get(5));
    for _ in 0..2 {
        assert!(three.answer().starts_with("GET / "));
    }
    for mut worker in workers {
        assert!(arrived(&mut worker).0.starts_with("GET / "));
        three.send(&mut worker, LAST);
    }
    let (said, _) = http2::frames(&mut client);
    assert_eq!(said.iter().filter(|(kind, _)| *kind == 1).count(), 3);
    let third = &three.proxies[2].proxy;
    let all = [MemberId(0), MemberId(1)];
    assert!(third.awaited(&all, true, None).is_none());
    assert_eq!(third.cx.adopted.descriptors(), 0);
}
