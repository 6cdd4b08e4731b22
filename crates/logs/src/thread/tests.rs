//! Pipes that are written to, and what stands in the files then.

use std::fs;
use std::io::Write;

use super::super::{Capture, DateFormat, Files, Format, Rotation};
use super::*;
use safe_files::Rights;
use telemetry::ids::{Instance, InstanceId};

struct Worker {
    out: std::io::PipeWriter,
    err: std::io::PipeWriter,
}

fn add(capture: &Capture, format: Format, instance: u32, files: Files) -> Worker {
    let (out_read, out) = std::io::pipe().unwrap();
    let (err_read, err) = std::io::pipe().unwrap();
    capture.add(Source {
        instance: Instance(instance),
        id: InstanceId(instance),
        out: out_read.into(),
        err: err_read.into(),
        files,
        format,
        begun: Default::default(),
    });
    Worker { out, err }
}

fn start(format: Format) -> Capture {
    start_with(format, None)
}

fn start_with(format: Format, rotation: Option<Rotation>) -> Capture {
    let settings = Settings {
        app: "api".into(),
        format,
        rotation,
        rights: Rights::default(),
    };
    let (notices, _) = tokio::sync::mpsc::channel(8);
    Capture::start(settings, Arc::default(), notices).unwrap()
}

#[test]
fn each_stream_has_its_file_and_both_have_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::in_folder(folder.path(), "api");
    files.combined = Some(folder.path().join("api.log"));
    let mut capture = start(Format::Plain);
    for instance in 0..2 {
        let mut worker = add(
            &capture,
            Format::Plain,
            instance,
            files.of_instance(InstanceId(instance)),
        );
        writeln!(worker.out, "out of {instance}").unwrap();
        drop(worker.out);
        write!(worker.err, "last words of {instance}").unwrap();
    }
    capture.finish(Duration::from_secs(30));
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    for instance in 0..2 {
        let out = format!("out of {instance}\n");
        let err = format!("last words of {instance}\n");
        assert_eq!(text(&format!("api-out-{instance}.log")), out);
        assert_eq!(text(&format!("api-error-{instance}.log")), err);
        let both = text(&format!("api-{instance}.log"));
        assert!(both == out.clone() + &err || both == err + &out, "{both}");
    }
}

#[test]
fn lines_of_many_do_not_mix_in_a_merged_file() {
    const LINES: usize = 300;
    const WORKERS: u32 = 4;
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path(), "api");
    let mut capture = start(Format::Dated(DateFormat::parse("[at]")));
    let writers: Vec<_> = (0..WORKERS)
        .map(|instance| {
            let mut worker = add(
                &capture,
                Format::Dated(DateFormat::parse("[at]")),
                instance,
                files.clone(),
            );
            std::thread::spawn(move || {
                for nth in 0..LINES {
                    let line = format!("{instance} {nth} {}\n", "x".repeat(nth * 37));
                    worker.out.write_all(line.as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    capture.finish(Duration::from_secs(30));
    let text = fs::read_to_string(files.out.unwrap()).unwrap();
    let mut next = [0; WORKERS as usize];
    for line in text.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let instance: usize = fields[1].parse().unwrap();
        let nth: usize = fields[2].parse().unwrap();
        assert_eq!(fields[0], "at:");
        assert_eq!(nth, next[instance]);
        assert_eq!(fields[3].len(), nth * 37);
        next[instance] += 1;
    }
    assert_eq!(next, [LINES; WORKERS as usize]);
}

/// A worker that writes as fast as it can is held up by its pipe, and fills no disk.
#[test]
fn a_worker_that_writes_without_pause_does_not_get_ahead_of_rotation() {
    const SIZE: u64 = 1024;
    const KEEP: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path(), "api");
    let rotation = Rotation {
        size: Some(SIZE),
        keep: KEEP,
        gzip: true,
        ..Rotation::default()
    };
    let mut capture = start_with(Format::Plain, Some(rotation));
    let mut worker = add(&capture, Format::Plain, 0, files.clone());
    for nth in 0..2000 {
        let line = format!("{nth:08} {}\n", "x".repeat(2000));
        worker.out.write_all(line.as_bytes()).unwrap();
    }
    drop(worker);
    capture.finish(Duration::from_secs(60));
    let out = files.out.unwrap();
    let old = super::super::old_logs::listed(&out);
    assert!(old.len() <= KEEP + 1, "{old:?}");
    assert!(fs::read_to_string(&out).unwrap().contains("00001999 "));
}

#[test]
fn a_line_that_comes_in_pieces_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path(), "api");
    let mut capture = start(Format::Plain);
    let mut worker = add(&capture, Format::Plain, 3, files.clone());
    worker.out.write_all(b"one\ntw").unwrap();
    worker.out.write_all(b"o\n").unwrap();
    drop(worker);
    capture.finish(Duration::from_secs(30));
    let text = fs::read_to_string(files.out.unwrap()).unwrap();
    assert_eq!(text, "one\ntwo\n");
}

#[test]
fn a_descendant_that_holds_the_pipe_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path(), "api");
    let mut capture = start(Format::Plain);
    let mut worker = add(&capture, Format::Plain, 0, files.clone());
    write!(worker.out, "unfinished").unwrap();
    capture.finish(Duration::from_millis(50));
    let text = fs::read_to_string(files.out.unwrap()).unwrap();
    assert_eq!(text, "unfinished\n");
    drop(worker);
}

/// A reload tries a successor with another format, while the old process writes on.
#[test]
fn each_process_has_its_format() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path(), "api");
    let mut capture = start(Format::Plain);
    let dated = |text: &str| Format::Dated(DateFormat::parse(text));
    let mut old = add(&capture, dated("[A]"), 0, files.clone());
    let mut new = add(&capture, dated("[B]"), 0, files.clone());
    writeln!(old.out, "old").unwrap();
    writeln!(new.out, "new").unwrap();
    drop((old, new));
    capture.finish(Duration::from_secs(60));
    let text = fs::read_to_string(files.out.unwrap()).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A: old", "B: new"]);
}

/// What another one goes on with is in its files once, in whole lines, though it began in the middle of one.
#[test]
fn another_one_goes_on_after_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::in_folder(folder.path(), "api");
    let (out_read, mut out) = std::io::pipe().unwrap();
    let (err_read, mut err) = std::io::pipe().unwrap();
    let source = |begun| Source {
        instance: Instance(0),
        id: InstanceId(0),
        out: out_read.try_clone().unwrap().into(),
        err: err_read.try_clone().unwrap().into(),
        files: files.clone(),
        format: Format::Dated(DateFormat::parse("[at]")),
        begun,
    };
    let first = start(Format::Plain);
    first.add(source(Default::default()));
    out.write_all(b"one\ntw").unwrap();
    let text = |file: &Option<PathBuf>| fs::read_to_string(file.as_ref().unwrap());
    while text(&files.out).unwrap_or_default() != "at: one\n" {
        std::thread::yield_now();
    }
    let begun = first.pause();
    assert!(
        matches!(&begun[..], [(_, line)] if line == b"tw"),
        "{begun:?}"
    );
    out.write_all(b"o\nthree").unwrap();
    err.write_all(b"error\n").unwrap();
    // One that could not hand over goes on, and pauses again.
    first.resume();
    while text(&files.out).unwrap() != "at: one\nat: two\n" || text(&files.err).unwrap().is_empty()
    {
        std::thread::yield_now();
    }
    let mut begun = first.pause();
    assert!(
        matches!(&begun[..], [(_, line)] if line == b"three"),
        "{begun:?}"
    );
    // What is very long is written as it is.
    first.resume();
    let long = "x".repeat(LONGEST_BEGUN);
    for part in long.as_bytes().chunks(4096) {
        err.write_all(part).unwrap();
    }
    err.write_all(b"!").unwrap();
    while rustix::io::ioctl_fionread(&err_read).unwrap() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(first.pause().len(), 1);
    let mut second = start(Format::Plain);
    second.add(source([begun.remove(0).1, Vec::new()]));
    out.write_all(b" and more\n").unwrap();
    drop((out, err));
    second.finish(Duration::from_secs(30));
    let lines = "at: one\nat: two\nat: three and more\n";
    assert_eq!(text(&files.out).unwrap(), lines);
    let errors = format!("at: error\nat: {long}!\n");
    assert!(text(&files.err).unwrap() == errors);
    first.resume();
}

#[test]
fn memory_for_unfinished_lines_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let (notices, _) = tokio::sync::mpsc::channel(8);
    let (_orders, orders) = std::sync::mpsc::channel();
    let wake = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap();
    let settings = Settings {
        app: "api".into(),
        format: Format::Plain,
        rotation: Some(Rotation::default()),
        rights: Rights::default(),
    };
    let mut keeper =
        Keeper::new(settings, Arc::default(), notices, orders, Arc::new(wake)).unwrap();
    let piece = vec![b'x'; 32 * 1024];
    let mut writers = Vec::new();
    for instance in 0..6 {
        let (out, writer) = std::io::pipe().unwrap();
        let (err, _) = std::io::pipe().unwrap();
        keeper.add(Source {
            instance: Instance(instance),
            id: InstanceId(instance),
            out: out.into(),
            err: err.into(),
            files: Files {
                out: Some(folder.path().join("out.log")),
                ..Files::default()
            },
            format: Format::Plain,
            begun: Default::default(),
        });
        writers.push((u64::from(instance) * 2 + 1, writer));
    }
    for _ in 0..400 {
        for (key, writer) in &mut writers {
            writer.write_all(&piece).unwrap();
            assert_eq!(keeper.serve(*key), piece.len());
            assert!(keeper.held <= HELD, "{}", keeper.held);
        }
    }
    let held: usize = keeper.pipes.values().map(|pipe| pipe.gather.len()).sum();
    assert_eq!(held, keeper.held);
}
