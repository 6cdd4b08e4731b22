//! What `resurrect` makes of a dump that `save` has not written so.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::harness::beside_others;
use crate::home::Home;

const OTHER: u32 = 65533;

/// What stands at the dump's path: a file of another kind, of another user, or of a size that none has.
#[test]
fn a_dump_that_is_no_file_of_the_owner_s_is_refused_with_the_reason() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh"]);
    home.does(&["save"]);
    home.does(&["delete", "all"]);
    let dump = home.path().join("dump.json");
    let aside = home.folder().join("aside.json");
    fs::rename(&dump, &aside).unwrap();
    type Put = fn(&Path, &Path) -> std::io::Result<()>;
    let mut cases: Vec<(&str, Put)> = vec![
        ("it is a symbolic link", |dump, aside| symlink(aside, dump)),
        ("it is not a regular file", |dump, _| {
            Ok(mknodat(
                CWD,
                dump,
                FileType::Fifo,
                Mode::RUSR | Mode::WUSR,
                0,
            )?)
        }),
        ("it is not a regular file", |dump, _| fs::create_dir(dump)),
        ("it is larger than 64 MB", |dump, _| {
            // Of holes alone.
            File::create(dump)?.set_len(1 << 40)
        }),
        ("is damaged", |dump, aside| {
            let text = fs::read(aside)?;
            fs::write(dump, &text[..text.len() / 2])
        }),
        ("is damaged", |dump, _| fs::write(dump, "[".repeat(1 << 20))),
        ("a newer maitred", |dump, _| {
            fs::write(dump, r#"{"version":2,"apps":[]}"#)
        }),
    ];
    if rustix::process::geteuid().is_root() {
        cases.push(("it belongs to user 65533", |dump, aside| {
            fs::copy(aside, dump)?;
            chown(dump, Some(OTHER), Some(OTHER))
        }));
    }
    for (reason, put) in cases {
        put(&dump, &aside).unwrap();
        let said = home.fails(&["resurrect"]);
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(said.contains("dump.json"), "{said}");
        match fs::remove_file(&dump) {
            Err(error) if error.kind() == ErrorKind::IsADirectory => fs::remove_dir(&dump).unwrap(),
            removed => removed.unwrap(),
        }
    }
    assert_eq!(home.statuses(), []);
    // The same as it was is taken.
    fs::rename(&aside, &dump).unwrap();
    home.does(&["resurrect"]);
    assert_eq!(home.statuses(), [(0, "online".to_owned())]);
}

/// Values that no config has: nothing is written outside the home, and every app can be ended.
#[test]
fn values_that_no_config_has_do_no_harm() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-i", "2"]);
    home.does(&["save"]);
    home.does(&["delete", "all"]);
    let dump = home.path().join("dump.json");
    let saved: Value = serde_json::from_slice(&fs::read(&dump).unwrap()).unwrap();
    let before = entries(home.folder());
    for (place, value) in [
        ("/apps/0/app/name", json!("../../escaped")),
        ("/apps/0/app/name", json!("")),
        ("/apps/0/app/name", json!("a\u{0}b\u{1b}[31m\n")),
        ("/apps/0/app/name", json!("x".repeat(100_000))),
        ("/apps/0/app/namespace", json!("/")),
        ("/apps/0/app/instances", json!(u32::MAX)),
        ("/apps/0/app/instances", json!(-1)),
        ("/apps/0/app/instances", json!(1e300)),
        ("/apps/0/instances", json!([])),
        ("/apps/0/instances/0/id", json!(u32::MAX)),
        ("/apps/0/instances/1/id", json!(0)),
        ("/apps/0/instances/1/number", json!(0)),
        ("/apps/0/created_at", json!(u64::MAX)),
        ("/apps/0/app/cwd", json!("/nowhere")),
        ("/apps/0/app", json!({})),
        ("/apps", json!({"0": 1})),
        ("/version", json!("1")),
    ] {
        let mut changed = saved.clone();
        let Some(at) = changed.pointer_mut(place) else {
            panic!("the dump has no {place}");
        };
        *at = value.clone();
        fs::write(&dump, serde_json::to_vec(&changed).unwrap()).unwrap();
        let ended = home.run(&["resurrect"]);
        let shown = format!("{place}: {value:.40}: {ended:?}");
        assert!(matches!(ended.code, 0 | 1), "{shown}");
        // No escape sequence reaches the terminal.
        assert!(!ended.errors.contains('\u{1b}'), "{shown}");
        assert_eq!(entries(home.folder()), before, "{shown}");
        home.does(&["ls"]);
        home.does(&["kill"]);
        assert_eq!(home.statuses(), [], "{shown}");
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> = entries
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
