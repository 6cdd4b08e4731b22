//! Servers that bring processes of their own, as they come from their packages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{
    Request, Setup, beside_others, deal, path_with_tools, repository, rounds_at_its_port, tool,
};

/// nginx binds as root, and its workers, which accept, give up their rights. All of them serve.
#[test]
fn the_workers_of_nginx_serve_with_fewer_rights() {
    let _turn = beside_others();
    let setup = Setup::script(nginx());
    let (folder, port) = (setup.folder().display().to_string(), setup.port());
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .collect();
    let answer = r#"{"instance":"0","pid":$pid}"#;
    let config = setup.file(
        "nginx.conf",
        &format!(
            "daemon off;\nuser nobody nogroup;\nworker_processes 2;\npid {folder}/nginx.pid;\n\
             events {{}}\n\
             http {{\naccess_log off;\n{scratch}\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{answer}'; }} }}\n}}\n"
        ),
    );
    let mut run = setup
        .option("--interpreter", "none")
        .instances(1)
        .argument("-e")
        .argument("stderr")
        .argument("-c")
        .argument(&config)
        .start();
    run.listening(1);
    let shares = deal(&run.door(), "/", 200);
    assert_eq!(shares.values().sum::<usize>(), 200);
    assert_eq!(shares.len(), 2, "{shares:?}");
    run.no_worker_has_ended();
}

/// gunicorn as root runs it: the arbiter binds, and its workers are another user's. Each worker gets its
/// share of 40 requests at both levels.
#[test]
fn the_workers_of_gunicorn_serve_with_fewer_rights() {
    let _turn = beside_others();
    const WORKERS: usize = 4;
    for level in ["connection", "request"] {
        let setup = Setup::script("");
        let packages = setup.folder().join("python");
        let installed = repository().join("tests/tools/python");
        assert!(
            installed.join("gunicorn").is_dir(),
            "gunicorn is missing; `make test` installs what the tests need"
        );
        // Its workers read the packages after they have become another user.
        let copied = Command::new("cp")
            .arg("-r")
            .args([&installed, &packages])
            .status();
        assert!(copied.unwrap().success());
        fs::set_permissions(setup.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        setup.file(
            "app.py",
            "import json, os, time, urllib.parse\n\
             def application(environ, start_response):\n    \
                 query = urllib.parse.parse_qs(environ['QUERY_STRING'])\n    \
                 time.sleep(int(query['ms'][0]) / 1000)\n    \
                 answer = {'instance': '0', 'pid': os.getpid(), 'uid': os.getuid()}\n    \
                 answer = json.dumps(answer).encode()\n    \
                 start_response('200 OK', [('Content-Length', str(len(answer)))])\n    \
                 return [answer]\n",
        );
        let script = setup.file(
            "serve.py",
            "from gunicorn.app.wsgiapp import run\n\
             run()\n",
        );
        let is_root = rustix::process::geteuid().is_root();
        let user: &[&str] = if is_root {
            &["-u", "nobody", "-g", "nogroup"]
        } else {
            &[]
        };
        let bind = format!("127.0.0.1:{}", setup.port());
        let workers = WORKERS.to_string();
        let folder = setup.folder().to_owned();
        let words = ["-w", &workers, "-b", &bind, "--no-control-socket"];
        let words = words.iter().chain(user).chain(&["app:application"]);
        let mut setup = words.fold(setup, Setup::argument);
        setup.set_script(&script);
        let mut run = setup
            .env("PYTHONPATH", &packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .option("--interpreter", python())
            .option("--cwd", folder)
            .option("--per", level)
            .flag("--stats=1")
            .instances(1)
            .start();
        run.listening(1);
        run.errors("workers", |text| {
            text.matches("Booting worker").count() == WORKERS
        });
        let answer = Request::get(&run.door(), "/?ms=0").unwrap().json();
        if is_root {
            assert_eq!(answer["uid"], 65534, "{answer}");
        }
        // Each of them one of four, ten times.
        rounds_at_its_port(&mut run, WORKERS, 10);
        run.no_worker_has_ended();
    }
}

/// Debian's own, if it is there: another one may be closed to other users.
fn python() -> PathBuf {
    let own = PathBuf::from("/usr/bin/python3");
    if own.is_file() { own } else { tool("python3") }
}

/// Debian keeps it where ordinary users do not look.
fn nginx() -> PathBuf {
    let path = path_with_tools();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = folders.map(|folder| folder.join("nginx"));
    programs
        .find(|program| program.is_file())
        .expect("nginx is missing; `make test` installs what the tests need")
}
