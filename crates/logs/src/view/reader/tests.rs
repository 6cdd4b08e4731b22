//! Logs that are looked at, and followed.

use std::fs::{self, File};
use std::sync::mpsc;
use std::time::Duration;

use super::super::{View, show};
use super::*;
use safe_files::Rights;
use telemetry::ids::InstanceId;

struct Folder(PathBuf);

impl Catalog for Folder {
    fn entries(&mut self) -> anyhow::Result<Vec<Entry>> {
        let names = ["a-out.log", "a-error.log", "b-out.log"];
        let entries = names.iter().zip(0..).map(|(name, id)| Entry {
            app: name[..1].into(),
            voice: Voice::Worker {
                id: InstanceId(id),
                stream: match name.contains("error") {
                    true => Stream::Err,
                    false => Stream::Out,
                },
            },
            path: self.0.join(name),
            rights: Rights::default(),
        });
        Ok(entries.filter(|entry| entry.path.exists()).collect())
    }
}

fn request(follow: bool) -> Request {
    Request {
        lines: 2,
        only: None,
        follow,
        on_stdout: false,
        until: None,
        target: "all".into(),
        view: View {
            headers: true,
            form: Form::Pretty,
            timestamp: None,
            highlight: None,
            terminal: false,
            colours: false,
        },
    }
}

#[test]
fn the_last_lines_of_each_file_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a-out.log"), "1\n2\n3\n").unwrap();
    fs::write(folder.path().join("a-error.log"), "bad").unwrap();
    let mut catalog = Folder(folder.path().to_owned());
    let mut out = Vec::new();
    show(&mut catalog, &request(false), &mut out, &mut io::sink()).unwrap();
    let at = folder.path().display();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(
            "[TAILING] Tailing last 2 lines for [all] processes (change the value with \
             --lines option)\n{at}/a-out.log last 2 lines:\n0|a      | 2\n0|a      | 3\n\n\
             {at}/a-error.log last 2 lines:\n1|a      | bad\n\n"
        )
    );
}

#[test]
fn the_last_lines_go_back_beyond_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a-out.log"), "3\n").unwrap();
    let old = |nth: u32, text: &str| {
        let name = format!("a-out__2026-03-07_09-05-0{nth}.log");
        fs::write(folder.path().join(name), text).unwrap();
    };
    old(1, "0\n1\n");
    old(2, "2\n");
    let mut catalog = Folder(folder.path().to_owned());
    let mut request = request(false);
    request.lines = 3;
    request.view.form = Form::Raw;
    let mut both = (Vec::new(), Vec::new());
    show(&mut catalog, &request, &mut both.0, &mut both.1).unwrap();
    assert_eq!(both, (b"1\n2\n3\n".to_vec(), Vec::new()));
    let damaged = folder.path().join("a-out__2026-03-07_09-05-02.log.gz");
    fs::rename(
        folder.path().join("a-out__2026-03-07_09-05-02.log"),
        damaged,
    )
    .unwrap();
    let mut both = (Vec::new(), Vec::new());
    show(&mut catalog, &request, &mut both.0, &mut both.1).unwrap();
    assert_eq!(both.0, b"3\n");
    let told = String::from_utf8(both.1).unwrap();
    assert!(told.contains("not all older lines are shown"), "{told}");
}

#[test]
fn one_stream_alone_without_headers() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a-out.log"), "1\n").unwrap();
    fs::write(folder.path().join("a-error.log"), "bad\n").unwrap();
    let mut catalog = Folder(folder.path().to_owned());
    let mut request = request(false);
    request.view.form = Form::Raw;
    let mut both = (Vec::new(), Vec::new());
    show(&mut catalog, &request, &mut both.0, &mut both.1).unwrap();
    assert_eq!(both, (b"1\n".to_vec(), b"bad\n".to_vec()));
    request.only = Some(Stream::Out);
    let mut both = (Vec::new(), Vec::new());
    show(&mut catalog, &request, &mut both.0, &mut both.1).unwrap();
    assert_eq!(both, (b"1\n".to_vec(), Vec::new()));
}

/// Passes lines on, and closes when told.
struct Pipe(mpsc::Sender<String>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let sent = self.0.send(text);
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn new_lines_and_new_logs_are_followed() {
    const PATIENCE: Duration = Duration::from_secs(30);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    write("a-out.log", "old\n");
    let mut catalog = Folder(folder.path().to_owned());
    let (sender, lines) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut request = request(true);
        request.view.form = Form::Pairs;
        show(&mut catalog, &request, &mut Pipe(sender), &mut io::sink())
    });
    let next = || {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        line.split_once("app=").unwrap().1.to_owned()
    };
    assert_eq!(next(), "a id=0 type=out message=old\n");
    write("a-out.log", "new\n");
    assert_eq!(next(), "a id=0 type=out message=new\n");
    write("b-out.log", "more\n");
    assert_eq!(next(), "b id=2 type=out message=more\n");
    fs::rename(
        folder.path().join("a-out.log"),
        folder.path().join("a-out.log.1"),
    )
    .unwrap();
    write("a-out.log", "rotated\n");
    assert_eq!(next(), "a id=0 type=out message=rotated\n");
    drop(lines);
    write("a-out.log", "unheard\n");
    thread.join().unwrap().unwrap();
}

/// Logs that are known by their names, and not there yet; and who hears each time that they are asked for.
struct Named(PathBuf, mpsc::Sender<()>);

impl Catalog for Named {
    fn entries(&mut self) -> anyhow::Result<Vec<Entry>> {
        let stream = Stream::Out;
        let _ = self.1.send(());
        Ok(vec![Entry {
            app: "a".into(),
            voice: Voice::Worker {
                id: InstanceId(0),
                stream,
            },
            path: self.0.clone(),
            rights: Rights::default(),
        }])
    }
}

/// A command may be faster than the supervisor that makes the folder of logs, however far that is from what is
/// there.
#[test]
fn a_log_is_followed_whose_folder_comes_later() {
    // They are asked for once more when a folder is watched.
    for (missing, looks) in [("", 0), ("logs", 0), ("logs", 2), ("home/logs/more", 2)] {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join(missing);
        let path = logs.join("a-out.log");
        let (asks, asked) = mpsc::channel();
        let mut catalog = Named(path.clone(), asks);
        let (sender, lines) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut request = request(true);
            request.view.form = Form::Raw;
            show(&mut catalog, &request, &mut Pipe(sender), &mut io::sink())
        });
        for _ in 0..looks {
            asked.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        fs::create_dir_all(&logs).unwrap();
        fs::write(&path, "first\n").unwrap();
        let line = lines.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(line, "first\n", "{missing}");
        drop(lines);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"unheard\n").unwrap();
        thread.join().unwrap().unwrap();
    }
}
