//! Followers of events beside those who command.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::*;
use telemetry::events::Event;

/// More than sockets and queues hold together.
const MANY: u64 = 20_000;

/// Runs a test beside a server at two sockets in a folder.
fn with_server(test: impl AsyncFnOnce(Server, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let socket = |name| Listener::bind(folder.path().join(name)).unwrap();
        let server = Server::start(socket("app"), socket("runtime")).unwrap();
        let limit = Duration::from_secs(60);
        let test = test(server, folder.path());
        tokio::time::timeout(limit, test).await.unwrap();
    });
}

fn ask(folder: &Path, request: Request) -> UnixStream {
    let mut caller = UnixStream::connect(folder.join("app")).unwrap();
    let mut line = serde_json::to_vec(&Envelope::new(request)).unwrap();
    line.push(b'\n');
    caller.write_all(&line).unwrap();
    caller
}

fn follow(folder: &Path) -> UnixStream {
    ask(folder, Request::Events { since: 0 })
}

fn happened(at: u64) -> Happened {
    Happened {
        at,
        event: Event::RequestsFailed { count: at },
    }
}

/// The next line of an answer, read beside the server; `None` at its end.
async fn line(reader: &mut BufReader<UnixStream>) -> Option<Reply> {
    let mut own = BufReader::new(reader.get_ref().try_clone().unwrap());
    // Nothing may be left in the one that is given up.
    assert!(reader.buffer().is_empty());
    let read = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        own.read_line(&mut line).unwrap();
        (own, line)
    });
    let (own, line) = read.await.unwrap();
    *reader = own;
    (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
}

#[test]
fn who_does_not_read_hears_how_many_events_are_missing_and_where() {
    with_server(async |mut server, folder| {
        let follower = follow(folder);
        let answer = server.next().await.unwrap().answer;
        for at in 0..MANY {
            // As the supervisor does: it tells, and its loop turns.
            answer.tell(happened(at));
            tokio::task::yield_now().await;
        }
        let read = tokio::task::spawn_blocking(move || {
            let lines = BufReader::new(follower).lines().map_while(Result::ok);
            lines
                .map(|line| serde_json::from_str::<Reply>(&line).unwrap())
                .collect::<Vec<_>>()
        });
        // What it has missed at the end is told without another event.
        while answer.missed.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        answer.tell(happened(MANY));
        drop(answer);
        let (mut next, mut missing) = (0, 0);
        for reply in read.await.unwrap() {
            match reply {
                Reply::Happened(happened) => {
                    assert_eq!(happened.at, next);
                    next += 1;
                }
                Reply::Missed(count) => {
                    next += count;
                    missing += count;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(next, MANY + 1);
        assert!(missing > 0, "all was taken up by sockets and queues");
    });
}

#[test]
fn followers_take_no_place_of_those_who_command() {
    with_server(async |mut server, folder| {
        let mut followers = Vec::new();
        let mut answers = Vec::new();
        for _ in 0..FOLLOWERS {
            followers.push(follow(folder));
            answers.push(server.next().await.unwrap().answer);
        }
        // As many again are refused, one after the other, and hold no place.
        for _ in 0..2 * CALLERS {
            let mut refused = BufReader::new(follow(folder));
            let reply = line(&mut refused).await;
            let Some(Reply::Failed(refusal)) = reply else {
                panic!("{reply:?}");
            };
            assert_eq!(refusal.reason, TOO_MANY);
            assert_eq!(line(&mut refused).await, None);
        }
        let _caller = ask(folder, Request::Status);
        assert_eq!(server.next().await.unwrap().request, Request::Status);
        // The place of one who goes is free, though nothing has happened.
        drop(followers.pop());
        while !answers.last().unwrap().is_closed() {
            tokio::task::yield_now().await;
        }
        let mut next = BufReader::new(follow(folder));
        let answer = server.next().await.unwrap().answer;
        answer.tell(happened(1));
        let reply = line(&mut next).await;
        assert_eq!(reply, Some(Reply::Happened(happened(1))));
    });
}

#[test]
fn the_end_waits_for_those_who_read_and_for_nobody_else() {
    with_server(async |mut server, folder| {
        let stuck = follow(folder);
        let stuck_answer = server.next().await.unwrap().answer;
        for at in 0..MANY {
            stuck_answer.tell(happened(at));
            tokio::task::yield_now().await;
        }
        let mut reader = BufReader::new(follow(folder));
        let answer = server.next().await.unwrap().answer;
        answer.tell(happened(7));
        drop((answer, stuck_answer));
        server.finish().await;
        let reply = line(&mut reader).await;
        assert_eq!(reply, Some(Reply::Happened(happened(7))));
        drop(stuck);
    });
}
