//! Workers with the rights of another user.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::harness::beside_others;
use crate::home::Home;

const WORKER: &str = "
const server = require('http').createServer((_, response) => {
    const { getuid, getgid, getgroups } = process;
    const status = require('fs').readFileSync('/proc/self/status', 'utf8');
    const capabilities = status.match(/^Cap(Inh|Prm|Eff|Amb):\\s*0+$/gm).length;
    response.end(`${getuid()} ${getgid()} [${getgroups()}] without ${capabilities} kinds`);
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listens'));
";

/// Only root can start others' processes; for anybody else it is an error that says so.
#[test]
fn a_worker_of_another_user_shares_the_port_and_reaches_nothing_of_ours() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.cjs", WORKER);
    // The app's own folder is for all.
    fs::set_permissions(home.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let start = ["start", "app.cjs", "-i", "2", "--uid", "nobody"];
    if !rustix::process::geteuid().is_root() {
        let ended = home.run(&start);
        assert!(!ended.errors.is_empty(), "{ended:?}");
        return;
    }
    let port = home.port.to_string();
    home.does(&[&start[..], &["--", &port]].concat());
    let lines = home.follow("app");
    for _ in 0..2 {
        assert_eq!(lines.next(), "listens");
    }
    for _ in 0..4 {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let told = answer.rsplit("\r\n").next().unwrap();
        let uid: u32 = told.split(' ').next().unwrap().parse().unwrap();
        assert_ne!(uid, 0, "{told}");
        // Root's own groups are not among theirs.
        assert!(!told.contains("[0"), "{told}");
        // Inherited, permitted, effective and ambient capabilities.
        assert!(told.ends_with(" without 4 kinds"), "{told}");
    }
    let shown = home.does(&["describe", "app"]);
    assert!(!shown.contains("did not load"), "{shown}");
    // Both have it through the door.
    assert!(shown.contains(&format!("127.0.0.1:{port}")), "{shown}");
    for private in ["", "apps", "logs"] {
        let mode = fs::metadata(home.path().join(private))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{private}");
    }
}
