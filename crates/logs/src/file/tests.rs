//! A log that is written to, moved, rotated, and for which there is no room.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::old_logs;
use super::*;

struct Bench {
    folder: tempfile::TempDir,
    settings: Settings,
    compressor: Compressor,
    notices: Vec<Notice>,
}

impl Bench {
    fn new(rotation: Option<Rotation>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            settings: Settings {
                app: "api".into(),
                format: Format::Plain,
                rotation,
                rights: Rights::default(),
            },
            compressor: Compressor::default(),
            notices: Vec::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("logs/api-out-0.log")
    }

    fn open(&mut self) -> LogFile {
        let path = self.path();
        let tell = &mut |notice| self.notices.push(notice);
        LogFile::open(&path, &self.settings, &mut self.compressor, tell)
    }

    fn write(&mut self, log: &mut LogFile, lines: &str, now: Timestamp) {
        let tell = &mut |notice| self.notices.push(notice);
        log.write(lines.as_bytes(), now, &mut self.compressor, tell);
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }
}

#[test]
fn it_is_for_its_owner_alone() {
    let mut bench = Bench::new(None);
    let mut log = bench.open();
    bench.write(&mut log, "one\n", Timestamp::now());
    assert_eq!(bench.text(), "one\n");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bench.path()), 0o600);
    assert_eq!(mode(bench.path().parent().unwrap()), 0o700);
}

#[test]
fn a_log_that_was_moved_or_emptied_is_written_on() {
    let mut bench = Bench::new(None);
    let mut log = bench.open();
    let now = Timestamp::now();
    bench.write(&mut log, "one\n", now);
    let moved = bench.path().with_extension("log.1");
    fs::rename(bench.path(), &moved).unwrap();
    bench.write(&mut log, "two\n", now + SignedDuration::from_millis(500));
    bench.write(&mut log, "three\n", now + SignedDuration::from_millis(1500));
    assert_eq!(fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
    assert_eq!(bench.text(), "three\n");
    fs::write(bench.path(), "").unwrap();
    bench.write(&mut log, "four\n", now);
    assert_eq!(bench.text(), "four\n");
    assert!(bench.notices.is_empty(), "{:?}", bench.notices);
}

#[test]
fn it_is_rotated_by_size_between_lines() {
    let mut bench = Bench::new(Some(Rotation {
        size: Some(10),
        ..Rotation::default()
    }));
    let mut log = bench.open();
    for _ in 0..3 {
        bench.write(&mut log, "12345678\n", Timestamp::now());
    }
    // What is larger than the limit still has a log of its own.
    bench.write(&mut log, "1234567890abc\n", Timestamp::now());
    assert_eq!(bench.text(), "1234567890abc\n");
    let folder = bench.path();
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 4);
    assert!(bench.notices.is_empty(), "{:?}", bench.notices);
}

/// Thousands of rotations as quickly as they can be done: at no moment, and not at the end,
/// is more kept than was asked for, and what is kept are the newest ones.
#[test]
fn a_rotation_holds_its_bound_however_fast_it_is_written() {
    const KEEP: usize = 3;
    for gzip in [false, true] {
        let mut bench = Bench::new(Some(Rotation {
            size: Some(10),
            keep: KEEP,
            gzip,
            ..Rotation::default()
        }));
        let mut log = bench.open();
        for nth in 0..3000 {
            bench.write(&mut log, &format!("{nth:08}\n"), Timestamp::now());
            let old = old_logs::listed(&bench.path());
            // One more may be about to go that is being compressed.
            assert!(old.len() <= KEEP + usize::from(gzip), "{nth}: {old:?}");
            if !gzip {
                let logs = bench.path();
                let files = fs::read_dir(logs.parent().unwrap()).unwrap().count();
                assert!(files <= KEEP + 1, "{nth}: {files}");
            }
        }
        assert_eq!(bench.text(), "00002999\n");
        assert!(bench.notices.is_empty(), "{:?}", bench.notices);
    }
}

#[test]
fn a_rotation_that_has_failed_is_tried_again_and_forgotten_when_it_succeeds() {
    let mut bench = Bench::new(Some(Rotation {
        size: Some(10),
        keep: 1,
        ..Rotation::default()
    }));
    let mut log = bench.open();
    let line = "12345678\n";
    let now = Timestamp::now();
    bench.write(&mut log, line, now);
    bench.write(&mut log, line, now);
    // Not even root removes a folder that way.
    let oldest = old_logs::listed(&bench.path()).remove(0);
    let obstacle = bench
        .path()
        .with_file_name(oldest.of_form(old_logs::Form::Part));
    fs::create_dir(&obstacle).unwrap();
    bench.write(&mut log, line, now);
    fs::remove_dir(&obstacle).unwrap();
    assert!(matches!(bench.notices[..], [Notice::NotRotated { .. }]));
    assert_eq!(bench.text(), [line; 2].concat());
    for _ in 0..2 {
        bench.write(&mut log, line, now);
        assert_eq!(bench.text(), line);
    }
    assert_eq!(bench.notices.len(), 1);
}

#[test]
fn it_is_rotated_by_time() {
    let mut bench = Bench::new(Some(Rotation {
        interval: std::time::Duration::from_secs(24 * 60 * 60),
        ..Rotation::default()
    }));
    let mut log = bench.open();
    let now = Timestamp::now();
    bench.write(&mut log, "today\n", now);
    bench.write(&mut log, "tomorrow\n", now + SignedDuration::from_hours(25));
    assert_eq!(bench.text(), "tomorrow\n");
    bench.write(&mut log, "still\n", now + SignedDuration::from_hours(25));
    assert_eq!(bench.text(), "tomorrow\nstill\n");
}

/// `/dev/full` answers as a full disk does.
#[test]
fn a_full_disk_costs_lines_that_are_counted() {
    let mut bench = Bench::new(None);
    fs::create_dir(bench.path().parent().unwrap()).unwrap();
    symlink("/dev/full", bench.path()).unwrap();
    let mut log = bench.open();
    let now = Timestamp::now();
    bench.write(&mut log, "one\ntwo\n", now);
    bench.write(&mut log, "three\n", now);
    let reason = "No space left on device (os error 28)".to_owned();
    let path = bench.path();
    assert_eq!(
        bench.notices,
        [Notice::Failing {
            path: path.clone(),
            reason: reason.clone()
        }]
    );
    fs::remove_file(&path).unwrap();
    bench.write(&mut log, "four\n", now + SignedDuration::from_secs(2));
    assert_eq!(
        bench.text(),
        format!("maitred: 3 lines could not be written here: {reason}\nfour\n")
    );
    assert_eq!(
        bench.notices.get(1..),
        Some(
            &[Notice::Lost {
                path,
                lines: 3,
                bytes: 14
            }][..]
        )
    );
}

#[test]
fn a_place_that_cannot_be_written_is_told_once() {
    let mut bench = Bench::new(None);
    fs::write(bench.folder.path().join("logs"), "a file").unwrap();
    let mut log = bench.open();
    let now = Timestamp::now();
    for seconds in 0..3 {
        bench.write(
            &mut log,
            "x\n",
            now + SignedDuration::from_secs(seconds * 2),
        );
    }
    assert_eq!(bench.notices.len(), 1, "{:?}", bench.notices);
    log.close(&mut |notice| bench.notices.push(notice));
    assert!(matches!(
        bench.notices.last(),
        Some(Notice::Lost { lines: 3, .. })
    ));
}
