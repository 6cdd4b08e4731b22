//! Servers that bring processes of their own, as they come from their packages.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{
    Request, Run, Setup, beside_others, deal, path_with_tools, repository, rounds_at_its_port,
    tool, until_all_have_answered,
};

/// nginx binds as root, and its workers, which accept, give up their rights. All of them serve, evenly.
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
        .flag("--stats=1")
        .start();
    run.listening(1);
    rounds_at_its_port(&mut run, 2, 10);
    let pid = Request::get(&run.door(), "/").unwrap().json()["pid"].to_string();
    let uid = fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(uid, if own == 0 { 65534 } else { own });
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
        let installed = packages("gunicorn");
        let packages = setup.folder().join("python");
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

/// Sanic in its default mode: each instance is a main process, a worker, and a server of
/// `multiprocessing.Manager`, which speaks first, with the processes of its instance alone.
#[test]
fn sanic_serves_in_its_default_mode() {
    let _turn = beside_others();
    const WORKERS: usize = 3;
    for level in ["connection", "request"] {
        let setup = Setup::program(
            "app.py",
            "import os, time\n\
             from sanic import Sanic\n\
             from sanic.response import json\n\
             app = Sanic('app')\n\
             app.config.USE_UVLOOP = False\n\
             @app.get('/<path:path>')\n\
             async def answer(request, path):\n    \
                 time.sleep(int(request.args.get('ms')) / 1000)\n    \
                 return json({'instance': os.environ['NODE_APP_INSTANCE'], 'pid': os.getpid()})\n\
             if __name__ == '__main__':\n    \
                 app.run(host='127.0.0.1', port=int(os.environ['PORT']), motd=False)\n",
        );
        let mut run = with_packages(setup, "sanic")
            .option("--interpreter", tool("python3"))
            .option("--per", level)
            .flag("--stats=1")
            .instances(WORKERS)
            .start();
        run.listening(WORKERS as u64);
        run.output("workers", |text| {
            text.matches("Worker ready").count() == WORKERS
        });
        rounds_at_its_port(&mut run, WORKERS, 10);
        run.no_worker_has_ended();
        shares_its_port_alone(&mut run);
    }
}

/// gunicorn as it comes, with its control socket: of several instances the last one has it, as without
/// maitred, and its own client is answered there.
#[test]
fn the_control_socket_of_gunicorn_is_not_shared() {
    let _turn = beside_others();
    const INSTANCES: usize = 3;
    for level in ["connection", "request"] {
        let setup = Setup::program(
            "serve.py",
            "import os, time\n\
             from gunicorn.app.wsgiapp import run\n\
             while not os.path.exists('go-' + os.environ['NODE_APP_INSTANCE']):\n    \
                 time.sleep(0.005)\n\
             run()\n",
        );
        setup.file(
            "app.py",
            "import os\n\
             def application(environ, start_response):\n    \
                 answer = b'{\"instance\":\"%s\",\"pid\":%d}'\n    \
                 answer = answer % (os.environ['NODE_APP_INSTANCE'].encode(), os.getpid())\n    \
                 start_response('200 OK', [('Content-Length', str(len(answer)))])\n    \
                 return [answer]\n",
        );
        let folder = setup.folder().to_owned();
        let socket = folder.join("gunicorn.ctl");
        let bind = format!("127.0.0.1:{}", setup.port());
        let mut run = with_packages(setup, "gunicorn")
            .argument("-b")
            .argument(bind)
            .argument("--control-socket")
            .argument(&socket)
            .argument("app:application")
            .option("--interpreter", tool("python3"))
            .option("--cwd", &folder)
            .option("--per", level)
            .instances(INSTANCES)
            .start();
        // Two that replace it in the same moment fail, with and without maitred.
        for started in 0..INSTANCES {
            std::fs::write(folder.join(format!("go-{started}")), "").unwrap();
            run.errors("a control socket", |text| {
                text.matches("Control socket listening").count() > started
            });
        }
        run.listening(INSTANCES as u64);
        let last = run.started(INSTANCES as u64 - 1).pid.to_string();
        for _ in 0..4 {
            let client = Command::new(tool("python3"))
                .args(["-m", "gunicorn.ctl.cli", "--json", "-c", "show all", "-s"])
                .arg(&socket)
                .env("PYTHONPATH", packages("gunicorn"))
                .output()
                .unwrap();
            let answer = String::from_utf8(client.stdout).unwrap();
            assert!(client.status.success(), "{answer}\n{}", run.story());
            assert!(answer.contains(&last), "{answer}, and not {last}");
        }
        until_all_have_answered(&run.door(), INSTANCES);
        shares_its_port_alone(&mut run);
    }
}

/// Nothing but the app's port is shared among its instances.
fn shares_its_port_alone(run: &mut Run) {
    let port = format!(":{}", run.port);
    let shared: BTreeSet<_> = run
        .events()
        .iter()
        .filter(|event| event.is("listening"))
        .map(|event| event.text("address").to_owned())
        .collect();
    assert_eq!(shared.len(), 1, "{shared:?}\n{}", run.story());
    assert!(shared.iter().all(|it| it.ends_with(&port)), "{shared:?}");
}

/// The folder of what the tests have from PyPI.
fn packages(wanted: &str) -> PathBuf {
    let installed = repository().join("tests/tools/python");
    assert!(
        installed.join(wanted).is_dir(),
        "{wanted} is missing; `make test` installs what the tests need"
    );
    installed
}

fn with_packages(setup: Setup, wanted: &str) -> Setup {
    setup
        .env("PYTHONPATH", packages(wanted))
        .env("PYTHONDONTWRITEBYTECODE", "1")
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
