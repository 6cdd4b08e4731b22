//! What `startup --harden` adds to the unit, as far as it can be had without systemd: an app with a `uid`
//! that `resurrect` brings back serves under it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::harness::{Request, beside_others, tool};
use crate::home::{Home, ended};

/// Runs a command with NoNewPrivileges=, RestrictAddressFamilies= (by a filter of system calls, as systemd
/// does it) and UMask=; as root with ProtectSystem=full and PrivateTmp=, too.
const HARDENED: &str = r#"
import ctypes, os, struct, subprocess, sys
folder, command = sys.argv[1], sys.argv[2:]
def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)
if os.geteuid() == 0:
    # The test's own folder and maitred stay where they are, also if that is in /tmp.
    kept = [folder, os.path.dirname(command[0])]
    mount("-t", "tmpfs", "tmpfs", "/mnt")
    for number, place in enumerate(kept):
        os.mkdir(f"/mnt/{number}")
        mount("--bind", place, f"/mnt/{number}")
    for place in filter(os.path.isdir, ["/usr", "/boot", "/etc"]):
        mount("--bind", place, place)
        mount("-o", "remount,bind,ro", place)
    for place in ["/tmp", "/var/tmp"]:
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", place)
    for number, place in enumerate(kept):
        os.makedirs(place, exist_ok=True)
        mount("--bind", f"/mnt/{number}", place)
os.chdir(folder)
os.umask(0o077)
libc = ctypes.CDLL(None, use_errno=True)
def prctl(*arguments):
    assert libc.prctl(*arguments) == 0, os.strerror(ctypes.get_errno())
prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7fff0000, 0x00050000 | 97  # EAFNOSUPPORT
families = [1, 2, 10, 16]  # AF_UNIX AF_INET AF_INET6 AF_NETLINK
filter = [(LOAD, 0, 0, 0), (EQUAL, 0, len(families) + 2, 41), (LOAD, 0, 0, 16)]
filter += [(EQUAL, len(families) - nth, 0, family) for nth, family in enumerate(families)]
filter += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in filter))
program = ctypes.create_string_buffer(struct.pack("@HP", len(filter), ctypes.addressof(code)))
prctl(22, 2, ctypes.byref(program), 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
os.execvp(command[0], command)
"#;

const SERVER: &str = "
const fs = require('fs');
const shown = act => { try { act(); return 'done'; } catch (error) { return error.code; } };
require('http').createServer((_, answer) => answer.end(JSON.stringify({
    status: fs.readFileSync('/proc/self/status', 'utf8'),
    tmp: fs.readFileSync('/proc/self/mounts', 'utf8').includes('tmpfs /tmp '),
    usr: shown(() => fs.writeFileSync('/usr/maitred-test', '')),
}))).listen(process.env.PORT);
";

#[test]
fn an_app_with_a_uid_serves_under_what_harden_adds() {
    let _turn = beside_others();
    let is_root = rustix::process::geteuid().is_root();
    let home = Home::new();
    home.file("app.cjs", SERVER);
    let wrapper = home.file("hardened.py", HARDENED);
    fs::set_permissions(home.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let user: &[&str] = if is_root { &["--uid", "nobody"] } else { &[] };
    home.does(&[&["start", "app.cjs", "-i", "2"], user].concat());
    home.does(&["save"]);
    home.does(&["kill"]);
    let usual = home.command(&["resurrect"]);
    let hardened = |args: &[&str]| {
        let mut command = match is_root {
            true => Command::new("unshare"),
            false => Command::new(tool("python3")),
        };
        if is_root {
            command.arg("--mount").arg(tool("python3"));
        }
        let set = |(name, value): (_, Option<_>)| Some((name, value?));
        command
            .arg(&wrapper)
            .arg(home.folder())
            .arg(usual.get_program())
            .args(args)
            .envs(usual.get_envs().filter_map(set))
            .current_dir(home.folder());
        let said = ended(command);
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
    };
    hardened(&["resurrect"]);
    let pids = home.pids();
    assert_eq!(pids.len(), 2);
    for _ in 0..10 {
        let answer = Request::get(&home.door(), "/").unwrap().body;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let status = answer["status"].as_str().unwrap();
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Umask:\t0077"] {
            assert!(status.contains(line), "{line}: {status}");
        }
        assert_ne!(answer["usr"], "done");
        if is_root {
            assert!(
                status.contains("Uid:\t65534\t65534\t65534\t65534"),
                "{status}"
            );
            assert_eq!(answer["tmp"], true, "{answer}");
        }
    }
    // Reloads and logs work as ever.
    hardened(&["reload", "all"]);
    assert_ne!(home.pids(), pids);
    Request::get(&home.door(), "/").unwrap();
    let log = home.log("app-out-0.log");
    let mode = fs::metadata(&log).map(|meta| meta.mode() & 0o777);
    assert!(mode.is_ok_and(|mode| mode == 0o600), "{log:?}");
    hardened(&["kill"]);
    assert!(home.instances().is_empty());
}
