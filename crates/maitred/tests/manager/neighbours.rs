//! Folders that belong to somebody else, or that others can write to.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use crate::harness::beside_others;
use crate::home::Home;

const NOBODY: u32 = 65534;
/// A group that neither root nor nobody is in.
const OTHERS: u32 = 65533;

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

/// Folders that a group may write. An ordinary user shares one on purpose, root trusts no group but its own;
/// and what is in a home that a group can write to may be of anybody in that.
#[test]
fn a_group_is_trusted_above_an_ordinary_user_s_home_alone() {
    let _turn = beside_others();
    let is_root = rustix::process::geteuid().is_root();
    let own = rustix::process::getegid().as_raw();
    // The group, the mode of the folder above and of the home, whether something is in the home, and
    // whether that is used.
    let cases = [
        (own, 0o755, 0o700, true, true),
        (own, 0o775, 0o700, true, true),
        (own, 0o2775, 0o700, true, true),
        (own, 0o777, 0o700, true, false),
        (own, 0o755, 0o770, true, false),
        (own, 0o755, 0o770, false, true),
        (OTHERS, 0o775, 0o700, true, false),
        (OTHERS, 0o1775, 0o700, true, true),
        (OTHERS, 0o755, 0o770, true, false),
    ];
    for (group, above, mode, has_more, is_used) in cases {
        if group != own && !is_root {
            continue;
        }
        let home = Home::at("above/home");
        let shared = home.folder().join("above");
        folder(home.path(), mode);
        if has_more {
            fs::write(home.path().join("dump.json"), "").unwrap();
        }
        if is_root {
            for path in [home.path(), &shared] {
                chown(path, None, Some(group)).unwrap();
            }
        }
        folder(home.path(), mode);
        folder(&shared, above);
        let ended = home.run(&["ls"]);
        // Home looks at it in the end.
        folder(&shared, 0o755);
        folder(home.path(), 0o700);
        if is_root {
            chown(&shared, None, Some(own)).unwrap();
        }
        let shown = format!("{group} {above:o} {mode:o} {has_more}: {ended:?}");
        assert_eq!(ended.code == 0, is_used, "{shown}");
        assert_eq!(
            ended.errors.contains("set MAITRED_HOME"),
            !is_used,
            "{shown}"
        );
    }
}

/// The folder with the preload library lies in no place where others could replace it, whichever variable
/// names that.
#[test]
fn a_place_for_temporary_files_that_others_reach_is_passed_over() {
    let _turn = beside_others();
    let home = Home::new();
    let script = home.file("app.sh", "echo at $MAITRED_DOOR $LD_PRELOAD");
    let at = |name: &str| home.folder().join(name);
    let is_root = rustix::process::geteuid().is_root();
    folder(&at("good"), 0o700);
    folder(&at("sticky"), 0o1777);
    folder(&at("open"), 0o777);
    folder(&at("open/below"), 0o700);
    folder(&at("grouped"), 0o770);
    home.file("file", "");
    symlink(at("good"), at("to_good")).unwrap();
    symlink(at("open"), at("to_open")).unwrap();
    symlink(at("nowhere"), at("to_nowhere")).unwrap();
    symlink(at("loop"), at("loop")).unwrap();
    // The place, and why it is passed over.
    let mut cases = vec![
        ("good", None),
        ("sticky", None),
        ("open", Some("no sticky bit")),
        ("open/below", Some("no sticky bit")),
        ("to_good", None),
        ("to_open", Some("no sticky bit")),
        ("missing", Some("No such file")),
        ("to_nowhere", Some("No such file")),
        ("loop", Some("symbolic links")),
        ("file", Some("Not a directory")),
    ];
    if is_root {
        folder(&at("theirs"), 0o700);
        folder(&at("theirs_above/below"), 0o700);
        for theirs in ["theirs", "theirs_above"] {
            chown(at(theirs), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        chown(at("grouped"), None, Some(NOBODY)).unwrap();
        symlink(at("theirs"), at("to_theirs")).unwrap();
        cases.extend([
            ("theirs", Some("belongs to user 65534")),
            ("theirs_above/below", Some("belongs to user 65534")),
            ("to_theirs", Some("belongs to user 65534")),
            ("grouped", Some("other users can write")),
        ]);
    } else {
        cases.push(("grouped", None));
    }
    for (variable, other) in [("XDG_RUNTIME_DIR", "TMPDIR"), ("TMPDIR", "XDG_RUNTIME_DIR")] {
        for (name, reason) in &cases {
            let place = at(name);
            let mut maitred = home.command(&["run", "--no-autorestart", "-i", "1"]);
            let maitred = maitred.arg(&script).env(variable, &place).env_remove(other);
            let output = maitred.output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let (out, err) = (text(output.stdout), text(output.stderr));
            let shown = format!("{variable}={name}: {out}{err}");
            assert!(out.contains("at /"), "{shown}");
            let is_used = out.contains(&format!("at {}/", place.display()));
            assert_eq!(is_used, reason.is_none(), "{shown}");
            let said = format!("no private folder in {}", place.display());
            assert_eq!(err.contains(&said), reason.is_some(), "{shown}");
            assert!(reason.is_none_or(|reason| err.contains(reason)), "{shown}");
        }
    }
}
