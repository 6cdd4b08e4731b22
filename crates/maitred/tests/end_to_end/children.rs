//! Programs whose children listen or accept: forked, or programs of their own.

use crate::harness::{Setup, beside_others};
use crate::listeners::reports;
use crate::programs::{balances, python, side_by_side};

/// A server that forks after it has begun to listen: its children share what it had.
#[test]
fn children_forked_after_listen_accept_side_by_side() {
    let _turn = beside_others();
    let text = "
listener = bind()
listener.listen()
for _ in range(3):
    if os.fork() == 0:
        serve(listener)
os.wait()
";
    let mut run = python(text).instances(1).flag("--stats=1").start();
    run.listening(1);
    for round in 1..=3 {
        let who = side_by_side(&mut run, 3, round);
        assert_eq!(who.len(), 3, "round {round}: {who:?}");
    }
    run.no_worker_has_ended();
}

/// Children that are given an environment of their own are out of maitred's reach. It says that
/// nothing is distributed, where it would else be thought that all is well.
#[test]
fn children_with_a_fresh_environment_are_not_lost_silently() {
    let _turn = beside_others();
    let text = "
        if (!process.env.WORKER) {
            Bun.spawn([process.execPath, import.meta.path], {
                env: { WORKER: '1', PORT: process.env.PORT },
                stdio: ['ignore', 'inherit', 'inherit'],
            });
        } else {
            Bun.serve({ port: process.env.PORT, reusePort: true, fetch: () => new Response() });
            console.log('ready');
        }";
    let mut run = Setup::program("app.ts", text).instances(1).start();
    run.output("the child", |text| text.contains("ready"));
    let event = run.event("the notice", |event| {
        event.is("not_preloaded") && event.instance() == 0
    });
    let reason = event.text("reason");
    assert!(reason.contains("without LD_PRELOAD"), "{reason}");
    assert!(
        !run.events().iter().any(|event| event.is("listening")),
        "{}",
        run.story()
    );
}

/// One process binds, and its children, programs of their own that take their time, listen on
/// what they inherited, as uvicorn and hypercorn do with several workers. Each child is a worker,
/// also where the copy that has bound the port needs longer than the others.
#[test]
fn children_that_listen_on_what_their_parent_bound() {
    let _turn = beside_others();
    let text = r#"
import pathlib, subprocess, sys

is_first = os.environ["NODE_APP_INSTANCE"] == "0"
if len(sys.argv) > 1:
    if is_first:
        # The others are ready long before.
        time.sleep(2)
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.listen()
    assert listener.getsockname() == ("127.0.0.1", int(os.environ["PORT"]))
    serve(listener)

bound = pathlib.Path(__file__).with_name("bound")
while not is_first and not bound.exists():
    time.sleep(0.01)
listener = bind()
bound.touch()
listener.set_inheritable(True)
child = [sys.executable, __file__, str(listener.fileno())]
for child in [subprocess.Popen(child, close_fds=False) for _ in range(2)]:
    child.wait()
"#;
    let setup = python(text).instances(3);
    balances(setup, 6);
}

/// What root runs may give up its rights by itself: before it binds, or in each child that it has
/// forked. (An ordinary user has none to give up.)
#[test]
fn programs_that_drop_their_rights_are_served() {
    let _turn = beside_others();
    const DROP: &str = "
def drop():
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
";
    let before = "
drop()
listener = bind()
listener.listen()
serve(listener)
";
    balances(python(&format!("{DROP}{before}")).instances(2), 2);
    let after = "
listener = bind()
listener.listen()
for _ in range(2):
    if os.fork() == 0:
        drop()
        serve(listener)
os.wait()
";
    let forks = python(&format!("{DROP}{after}")).instances(1);
    let mut run = forks.flag("--stats=1").start();
    run.listening(1);
    for round in 1..=3 {
        let who = side_by_side(&mut run, 2, round);
        assert_eq!(who.len(), 2, "round {round}: {who:?}");
    }
    run.no_worker_has_ended();
}

/// Root binds a path in a folder of another user's, and a child listens there again, which has become
/// that user and has put a link to root's own folder in that place since: what it may not make there, is
/// not made for it.
#[test]
fn a_child_that_listens_again_has_its_own_rights() {
    let _turn = beside_others();
    let text = r#"
import os, pathlib, socket, time
place = pathlib.Path(__file__).parent
ours, theirs = place / "ours", place / "theirs"
(theirs / "sub").mkdir(parents=True)
ours.mkdir(mode=0o755)
if os.getuid() == 0:
    os.chown(theirs, 65534, 65534)
    os.chown(theirs / "sub", 65534, 65534)
bound = socket.socket(socket.AF_UNIX)
bound.bind(str(theirs / "sub/app.sock"))
if os.fork() == 0:
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    again = bound.dup()
    bound.listen()
    bound.close()
    # The listener is over, and its path with it.
    while (theirs / "sub/app.sock").exists():
        time.sleep(0.01)
    os.rename(theirs / "sub", theirs / "away")
    os.symlink(ours, theirs / "sub")
    try:
        again.listen()
        print("report again: listens", flush=True)
    except OSError as error:
        print(f"report again: {error.errno}", flush=True)
time.sleep(1e6)
"#;
    let setup = Setup::program("app.py", text).instances(1);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(setup.folder(), mode).unwrap();
    let made = setup.folder().join("ours/app.sock");
    let run = setup.start();
    let answer = reports(&run, 1)["again"].clone();
    let is_root = rustix::process::geteuid().is_root();
    let expected = if is_root { "13" } else { "listens" };
    assert_eq!(answer, expected, "{}", run.story());
    assert_eq!(made.exists(), !is_root, "{}", run.story());
}

/// One process binds to keep the port, and never listens; its children bind it for themselves, as
/// granian does.
#[test]
fn children_that_bind_what_their_parent_keeps() {
    let _turn = beside_others();
    let text = r#"
import subprocess, sys

def bind():
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", int(os.environ["PORT"])))
    return listener

listener = bind()
if len(sys.argv) > 1:
    listener.listen()
    serve(listener)
child = [sys.executable, __file__, "child"]
for child in [subprocess.Popen(child) for _ in range(2)]:
    child.wait()
"#;
    let setup = python(text).instances(3);
    balances(setup, 6);
}
