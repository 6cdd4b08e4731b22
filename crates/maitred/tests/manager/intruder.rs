//! A worker of another user that attacks root by the files that maitred writes for it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Request, beside_others};
use crate::home::Home;

const NOBODY: u32 = 65534;

/// Swaps its logs, their folder and its PID file for links to what is root's, all the while that
/// it writes and answers requests; 10,000 times.
const WORKER: &str = "
const fs = require('fs');
const [secrets, place] = process.argv.slice(2);
const attempt = act => { try { act(); } catch {} };
const swap = (path, target) => attempt(() => {
    fs.symlinkSync(target, `${place}/next`);
    fs.renameSync(`${place}/next`, path);
});
const logs = `${place}/logs`;
const attack = () => {
    for (const name of ['out.log', 'access.log', 'app.pid', 'moved.log'])
        swap(`${logs}/${name}`, `${secrets}/secret`);
    attempt(() => fs.readdirSync(logs).forEach(name => {
        if (name.includes('__')) {
            swap(`${logs}/${name}`, `${secrets}/secret`);
            if (!name.endsWith('.part')) attempt(() => fs.writeFileSync(`${logs}/${name}.gz.part`, ''));
        }
    }));
    attempt(() => fs.renameSync(logs, `${place}/away`));
    swap(logs, secrets);
    fs.writeSync(1, 'x'.repeat(100) + '\\n');
    attempt(() => fs.unlinkSync(logs));
    attempt(() => fs.renameSync(`${place}/away`, logs));
    attempt(() => fs.unlinkSync(`${logs}/out.log`));
};
let left = 10000;
const attacks = () => {
    for (let nth = 0; nth < 20; nth++) attack();
    left -= 20;
    if (left > 0) setImmediate(attacks);
    else {
        for (const path of [logs, `${place}/away`]) fs.rmSync(path, { recursive: true, force: true });
        fs.mkdirSync(logs);
        fs.writeFileSync(`${place}/done`, '');
    }
};
require('http').createServer((_, answer) => answer.end('answer'))
    .listen(process.env.PORT, () => setImmediate(attacks));
";

#[test]
fn a_worker_of_another_user_reaches_nothing_of_root_s_through_its_files() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.cjs", WORKER);
    let (secrets, place) = (home.folder().join("root"), home.folder().join("theirs"));
    fs::create_dir(&secrets).unwrap();
    let names = ["secret", "out.log", "app.pid"];
    for name in names {
        fs::write(secrets.join(name), "secret").unwrap();
        fs::set_permissions(secrets.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::create_dir_all(place.join("logs")).unwrap();
    fs::set_permissions(home.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    let (out, pid) = (place.join("logs/out.log"), place.join("logs/app.pid"));
    let access = place.join("logs/access.log");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let secrets_path = path(&secrets);
    let is_root = rustix::process::geteuid().is_root();
    let arguments = [
        "start",
        "app.cjs",
        "--uid",
        // One whom this user is not.
        if is_root { "nobody" } else { "root" },
        "-o",
        &path(&out),
        "-e",
        "/dev/null",
        "--pid",
        &path(&pid),
        "--per",
        "request",
        "--access-log",
        &path(&access),
        "--log-max-size",
        "10K",
        "--log-compress",
        "--",
        &secrets_path,
        &path(&place),
    ];
    if !is_root {
        let said = home.run(&arguments).errors;
        assert!(
            said.contains("only root can run an app with another's rights"),
            "{said}"
        );
        return;
    }
    for folder in [&place, &place.join("logs")] {
        chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    symlink(secrets.join("app.pid"), &pid).unwrap();
    symlink(secrets.join("out.log"), &out).unwrap();
    let asked = while_asked(&home, || {
        home.does(&arguments);
        attacks_are_over(&place);
    });
    assert!(asked > 0);
    home.does(&["reloadLogs"]);
    Request::get(&home.door(), "/last").unwrap();
    for command in ["reloadLogs", "flush", "stop", "delete"] {
        home.run(&[command, "app"]);
    }
    assert!(home.instances().is_empty());
    assert_eq!(fs::symlink_metadata(&access).unwrap().uid(), NOBODY);
    let requests = fs::read_to_string(&access).unwrap();
    assert!(requests.contains("GET /last "), "{requests}");
    let mut left: Vec<_> = fs::read_dir(&secrets)
        .unwrap()
        .flatten()
        .map(|it| it.file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["app.pid", "out.log", "secret"]);
    for name in names {
        let file = secrets.join(name);
        let meta = fs::metadata(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"secret", "{name}");
        assert_eq!(
            (meta.uid(), meta.mode() & 0o777, meta.nlink()),
            (0, 0o600, 1),
            "{name}"
        );
    }
    assert!(!theirs_hold_the_secret(&place));
}

/// Waits until the worker says so; a busy machine takes its time for 10,000 of them.
fn attacks_are_over(place: &Path) {
    const LIMIT: Duration = Duration::from_secs(900);
    let deadline = Instant::now() + LIMIT;
    while !place.join("done").exists() {
        assert!(Instant::now() < deadline, "the worker goes on attacking");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks the app all the time, while something is done; how many answers came.
fn while_asked(home: &Home, act: impl FnOnce()) -> usize {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = 0;
            while !done.load(Ordering::Relaxed) {
                match Request::get(&home.door(), "/") {
                    Ok(answer) => answers += usize::from(answer.body == "answer"),
                    // Before it listens.
                    Err(_) => std::thread::yield_now(),
                }
            }
            answers
        });
        let _ends = Ends(&done);
        act();
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    })
}

/// Ends who asks, also when a check fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether any file of the other user's holds what only root may read, compressed or not.
fn theirs_hold_the_secret(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let meta = fs::symlink_metadata(entry.path()).unwrap();
        if meta.is_dir() {
            return theirs_hold_the_secret(&entry.path());
        }
        if !meta.is_file() || meta.uid() != NOBODY {
            return false;
        }
        let bytes = fs::read(entry.path()).unwrap();
        let mut text = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(&bytes[..]);
        let is_compressed = std::io::Read::read_to_end(&mut decoder, &mut text).is_ok();
        let text = if is_compressed { text } else { bytes };
        text.windows(6).any(|it| it == b"secret")
    })
}
