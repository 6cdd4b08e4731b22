//! Who connects to a control socket, and what is said there.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use crate::harness::beside_others;
use crate::home::Home;

/// What is answered, which may be nothing.
fn answer(home: &Home, said: &[u8], goes_on: bool) -> String {
    let mut caller = UnixStream::connect(home.path().join("apps/job/control")).unwrap();
    match caller.write_all(said) {
        Ok(()) => {}
        // It reads no more than a line may be long.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => panic!("{error}"),
    }
    if !goes_on {
        caller.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut answer = Vec::new();
    match caller.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(answer).unwrap()
}

/// Requests that are huge, cut short, or no requests: each is refused, and the next caller is answered.
#[test]
fn whatever_is_said_at_a_control_socket_the_next_is_answered() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh"]);
    let pids = home.pids();
    // Those who say nothing take places, and no more.
    let silent: Vec<_> = (0..20)
        .map(|_| UnixStream::connect(home.path().join("apps/job/control")).unwrap())
        .collect();
    let mut half = UnixStream::connect(home.path().join("apps/job/control")).unwrap();
    half.write_all(br#"{"do":"st"#).unwrap();
    let huge = vec![b'a'; 17 << 20];
    let nested = b"[".repeat(1 << 20);
    let deep = [br#"{"do":"restart","ids":"#, &nested[..], b"\n"].concat();
    let large = [
        br#"{"do":"send","id":0,"line":""#,
        &huge[..15 << 20],
        b"\"}\n",
    ]
    .concat();
    for (what, said, goes_on, expected) in [
        ("nothing", &b""[..], false, ""),
        ("an empty line", b"\n", true, "does not know"),
        ("half a request", br#"{"do":"kill""#, false, "does not know"),
        ("no end", &huge, true, "does not know"),
        ("nested", &deep, true, "does not know"),
        ("no text", b"\xff\xfe\0\n", true, "does not know"),
        ("a list", b"[1,2]\n", true, "does not know"),
        ("another one", br#"{"do":"fly"}"#, false, "does not know"),
        (
            "no app",
            b"{\"do\":\"restart\",\"ids\":null,\"app\":{}}\n",
            true,
            "does not know",
        ),
        (
            "no number",
            b"{\"do\":\"stop\",\"ids\":[-1]}\n",
            true,
            "does not know",
        ),
        (
            "no signal",
            b"{\"do\":\"signal\",\"ids\":null,\"signal\":-1}\n",
            true,
            "no signal",
        ),
        (
            "no instance",
            b"{\"do\":\"send\",\"id\":99,\"line\":\"\"}\n",
            true,
            "does not run",
        ),
        (
            "instances without numbers",
            b"{\"do\":\"scale\",\"instances\":4294967295,\"ids\":[]}\n",
            true,
            "try again",
        ),
        ("a large line", &large, true, "only a part"),
    ] {
        let answer = answer(&home, said, goes_on);
        assert!(answer.contains(expected), "{what}: {answer:.300}");
        assert_eq!(
            answer.is_empty(),
            expected.is_empty(),
            "{what}: {answer:.300}"
        );
        assert_eq!(home.pids(), pids, "{what}");
    }
    drop((silent, half));
    home.does(&["stop", "job"]);
}

/// A worker of another user finds the supervisor's folder by the library in it, and no way to command.
#[test]
fn a_worker_of_another_user_cannot_command_its_supervisor() {
    let _turn = beside_others();
    if !rustix::process::geteuid().is_root() {
        println!("only root runs workers of other users");
        return;
    }
    let home = Home::new();
    home.file(
        "app.cjs",
        "
const fs = require('fs'), net = require('net'), path = require('path');
const maps = fs.readFileSync('/proc/self/maps', 'utf8');
const folder = path.dirname(maps.match(/ (\\S+libmaitred\\.so)$/m)[1]);
const shown = act => { try { act(); return 'done'; } catch (error) { return error.code; } };
const attempts = [
    ['list', shown(() => fs.readdirSync(folder))],
    ['make', shown(() => fs.writeFileSync(`${folder}/new`, ''))],
    ['remove', shown(() => fs.unlinkSync(`${folder}/door`))],
    ['links', shown(() => fs.readdirSync(`${folder}/links`))],
    ['library', shown(() => fs.appendFileSync(`${folder}/libmaitred.so`, 'x'))],
    ['home', shown(() => fs.readdirSync(process.env.HOME_OF_ROOT))],
];
const names = [`${folder}/control`, `${process.env.HOME_OF_ROOT}/apps/app/control`];
const connect = left => {
    const name = left.shift();
    if (!name) return console.log(`attempts ${JSON.stringify(attempts)}`);
    const socket = net.connect(name);
    const end = how => { attempts.push(['connect', how]); socket.destroy(); connect(left); };
    socket.once('connect', () => end('done')).once('error', error => end(error.code));
};
connect(names);
require('http').createServer((_, answer) => answer.end('ok')).listen(process.env.PORT);
",
    );
    std::fs::set_permissions(
        home.folder(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let mut start = home.command(&["start", "app.cjs", "-i", "2", "--uid", "nobody"]);
    assert!(
        start
            .env("HOME_OF_ROOT", home.path())
            .status()
            .unwrap()
            .success()
    );
    let said = home.follow("app").next();
    let (_, attempts) = said.split_once("attempts ").unwrap();
    let attempts: Vec<[String; 2]> = serde_json::from_str(attempts).unwrap();
    assert_eq!(attempts.len(), 8, "{said}");
    for [what, how] in &attempts {
        assert_eq!(how, "EACCES", "{what}: {said}");
    }
}
