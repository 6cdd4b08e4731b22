//! Folders that belong to somebody else, or that others can write to.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use crate::harness::beside_others;
use crate::home::Home;

const NOBODY: u32 = 65534;

fn folder(path: &Path, mode: u32) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Every command that reads or writes a home, on homes that somebody else could have filled.
#[test]
fn a_home_that_others_reach_is_refused_by_every_command() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.sh", "exec sleep 1000");
    let file = home.file("mine", "mine");
    let at = |name: &str| home.folder().join(name);
    folder(&at("writable"), 0o777);
    symlink(&file, at("writable/lock")).unwrap();
    folder(&at("shared"), 0o777);
    folder(&at("shared/home"), 0o700);
    let mut homes = vec![at("writable"), at("shared/home"), at("shared/new")];
    if rustix::process::geteuid().is_root() {
        folder(&at("theirs"), 0o700);
        symlink(&file, at("theirs/lock")).unwrap();
        folder(&at("theirs_too/home"), 0o700);
        for theirs in ["theirs", "theirs_too"] {
            chown(at(theirs), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        homes.extend([at("theirs"), at("theirs_too/home")]);
    }
    for path in homes {
        for command in [
            &["start", "app.sh"][..],
            &["ls"],
            &["resurrect"],
            &["save"],
            &["kill"],
            &["jlist"],
        ] {
            let mut maitred = home.command(command);
            let output = maitred.env("MAITRED_HOME", &path).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{command:?} {path:?}: {said}"
            );
            assert!(said.contains("set MAITRED_HOME"), "{said}");
        }
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    // One that nobody has put anything into is closed, and used.
    folder(&at("empty"), 0o777);
    let mut maitred = home.command(&["ls"]);
    assert!(
        maitred
            .env("MAITRED_HOME", at("empty"))
            .status()
            .unwrap()
            .success()
    );
    let mode = fs::metadata(at("empty")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// The folder with the preload library lies in no place where others could replace it.
#[test]
fn a_place_for_temporary_files_that_others_reach_is_passed_over() {
    let _turn = beside_others();
    let home = Home::new();
    let place = home.folder().join("tmp");
    folder(&place, 0o777);
    let script = home.file("app.sh", "echo at $MAITRED_DOOR $LD_PRELOAD");
    let run = |mode: u32| {
        folder(&place, mode);
        let mut maitred = home.command(&["run", "--no-autorestart", "-i", "1"]);
        let maitred = maitred
            .arg(&script)
            .env("TMPDIR", &place)
            .env_remove("XDG_RUNTIME_DIR");
        let output = maitred.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    };
    let shown = place.to_str().unwrap();
    let (out, err) = run(0o777);
    assert!(out.contains("at ") && !out.contains(shown), "{out}");
    assert!(err.contains("no sticky bit"), "{err}");
    let (out, err) = run(0o1777);
    assert!(out.contains(shown), "{out}");
    assert!(!err.contains("sticky"), "{err}");
}
