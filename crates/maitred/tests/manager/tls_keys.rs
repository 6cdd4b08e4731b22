//! The TLS keys in a supervisor's memory, and the user's other processes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use sys::{CapabilitySet, Identity, Rights};

use crate::described::certificate;
use crate::harness::beside_others;
use crate::local_users::{OWNER, Place};

const SERVER: &str = "
require('fs').writeFileSync('private/supervisor', String(process.ppid));
require('http').createServer((_, answer) => answer.end('answer')).listen(process.env.PORT);
";

/// A process that makes core dumps shows its memory and environment to those of its user, and the other
/// way round.
#[test]
fn a_supervisor_with_tls_keys_shows_its_memory_to_no_process_of_its_user() {
    let _turn = beside_others();
    let place = Place::new();
    certificate(&place.home);
    place.home.file("keys.cjs", SERVER);
    for name in ["one.test.key", "one.test.pem"] {
        let file = place.at(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        if place.is_root {
            chown(&file, Some(OWNER), Some(OWNER)).unwrap();
        }
    }
    let identity = if place.is_root {
        Identity {
            uid: OWNER,
            gid: OWNER,
            groups: vec![OWNER],
        }
    } else {
        Identity::own().unwrap()
    };
    let capabilities = CapabilitySet::empty();
    let user = Rights {
        identity,
        capabilities,
    };
    let shows = |pid: i32, file: &str| {
        let path = format!("/proc/{pid}/{file}");
        user.act(|| fs::File::open(&path).is_ok()).unwrap()
    };
    let tls = ["--tls-cert", "one.test.pem", "--tls-key", "one.test.key"];
    for (flags, is_shown) in [(&tls[..], false), (&[], true)] {
        let start = ["start", "keys.cjs", "-i", "1", "--per", "request"];
        place.does(&[&start[..], flags].concat());
        let written = fs::read_to_string(place.at("private/supervisor")).unwrap();
        let supervisor = written.parse().unwrap();
        for file in ["mem", "environ", "maps"] {
            assert_eq!(shows(supervisor, file), is_shown, "{flags:?} {file}");
        }
        // That it is not for another reason: its parent, of the same program, has no keys.
        let status = fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        let guard = parent.unwrap().trim().parse().unwrap();
        assert!(shows(guard, "environ"), "{flags:?}: the guard");
        place.does(&["delete", "keys"]);
    }
    place.does(&["kill"]);
    if place.is_root {
        fs::remove_dir_all(place.home.path()).unwrap();
    }
}
