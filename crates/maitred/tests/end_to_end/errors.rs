//! Bad input and bad luck: a message that names the thing, an exit code, no panic, no hang, and
//! nothing lost that was accepted.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{
    Door, Request, Run, Setup, alone, beside_others, free_port, path_with_tools, raise_file_limit,
    storm, tool,
};

/// The end of a run that must fail by itself, naming all of `things`.
fn fails(mut run: Run, things: &[&str]) -> i32 {
    let code = run.exit_code();
    assert_ne!(code, 0, "{}", run.story());
    let (_, errors) = run.everything_printed();
    let errors = String::from_utf8_lossy(&errors);
    for thing in things {
        assert!(errors.contains(thing), "does not name {thing}:\n{errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
    code
}

#[test]
fn a_script_that_does_not_exist() {
    let _turn = beside_others();
    let mut run = Setup::script("/nowhere/server.ts").instances(3).start();
    run.wait();
    assert!(
        !run.events().iter().any(|event| event.is("started")),
        "{}",
        run.story()
    );
    fails(run, &["/nowhere/server.ts"]);
}

#[test]
fn an_interpreter_that_is_not_installed() {
    let _turn = beside_others();
    let setup = Setup::program("server.js", "").option("--interpreter", "no-such-runtime");
    fails(setup.start(), &["no-such-runtime"]);

    // The one that follows from the file's ending; nothing at all is installed here.
    let setup = Setup::program("server.rb", "");
    let empty = setup.folder().join("empty");
    fs::create_dir(&empty).unwrap();
    fails(setup.env("PATH", &empty).start(), &["ruby"]);
}

#[test]
fn a_number_of_instances_that_is_none() {
    let _turn = beside_others();
    let setup = || Setup::example("bun-serve/server.ts");
    assert_eq!(fails(setup().option("-i", "abc").start(), &["abc"]), 2);
    assert_eq!(fails(setup().option("-i", "3.5").start(), &["3.5"]), 2);
}

#[test]
fn a_file_that_nobody_is_known_to_run() {
    let _turn = beside_others();
    let setup = Setup::program("server.xyz", "whatever\n");
    let script = setup.folder().join("server.xyz");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    fails(setup.start(), &["server.xyz"]);
}

#[test]
fn an_unknown_policy_and_an_unknown_option() {
    let _turn = beside_others();
    let setup = || Setup::example("bun-serve/server.ts");
    assert_eq!(
        fails(setup().option("--balance", "fairly").start(), &["fairly"]),
        2
    );
    assert_eq!(
        fails(
            setup().flag("--no-such-option").start(),
            &["--no-such-option"]
        ),
        2
    );
}

#[test]
fn a_folder_to_work_in_that_does_not_exist() {
    let _turn = beside_others();
    let setup = Setup::program("server.sh", "sleep 1000\n").option("--cwd", "/nowhere/at/all");
    fails(setup.start(), &["/nowhere/at/all"]);
}

#[test]
fn a_port_in_use_names_who_uses_it() {
    let _turn = beside_others();
    let setup = Setup::example("node-http/server.mjs").instances(2);
    let port = setup.port().to_string();

    // A process of another name than anything that maitred starts.
    let holder = setup.folder().join("the-holder");
    fs::rename(compile("gcc", &[], setup.folder()), &holder).unwrap();
    let mut holder = Command::new(holder)
        .env("PORT", &port)
        .env("NODE_APP_INSTANCE", "0")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    holder
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 6])
        .unwrap();

    let pid = holder.id().to_string();
    let mut run = setup
        .option("--max-restarts", "1")
        .option("--restart-delay", "10")
        .start();
    let code = run.exit_code();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(code, 1, "{}", run.story());
    let event = run.event("who uses it", |event| event.is("in_use"));
    assert!(
        event.text("address").ends_with(&format!(":{port}")),
        "{}",
        event.json
    );
    let (_, errors) = run.everything_printed();
    let errors = String::from_utf8_lossy(&errors);
    assert!(
        errors.contains(&port),
        "does not name port {port}:\n{errors}"
    );
    assert!(
        errors.contains(&pid) || errors.contains("the-holder"),
        "does not name {pid}:\n{errors}"
    );
}

#[test]
fn a_worker_that_never_listens() {
    let _turn = beside_others();
    let mut run = Setup::program("silent.sh", "echo ready\nsleep 1000\n")
        .instances(2)
        .start();
    run.output("both workers", |text| text.matches("ready").count() == 2);
    assert!(!run.events().iter().any(|event| event.is("listening")));
    let refused = Request::get(&run.door(), "/")
        .map(|answer| answer.status)
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");

    run.signal(Signal::TERM);
    assert_eq!(run.exit_code(), 0);
}

/// A small HTTP server in C: one connection at a time, on PORT and NODE_APP_INSTANCE.
pub(crate) const SERVER_IN_C: &str = include_str!("server.c");

/// Compiles [`SERVER_IN_C`] into the folder.
pub(crate) fn compile(compiler: &str, options: &[&str], folder: &Path) -> PathBuf {
    let source = folder.join("server.c");
    fs::write(&source, SERVER_IN_C).unwrap();
    let program = folder.join("server");
    let built = Command::new(tool(compiler))
        .args(options)
        .arg("-o")
        .args([&program, &source])
        .env("PATH", path_with_tools())
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    program
}

/// It runs as it would without maitred, which says what that means.
#[test]
fn a_static_program_cannot_be_preloaded() {
    let _turn = beside_others();
    let mut setup = Setup::script("");
    let program = compile("gcc", &["-static"], setup.folder());
    setup.set_script(&program);
    // Each on a port of its own, since nobody shares one between them.
    let (first, second) = (free_port(), free_port());
    let mut run = setup
        .instances(2)
        .env("PORT", "0")
        .env("PORT_0", first.to_string())
        .env("PORT_1", second.to_string())
        .start();
    for instance in 0..2 {
        let event = run.event("the notice", |event| {
            event.is("not_preloaded") && event.instance() == instance
        });
        assert!(!event.text("reason").is_empty());
    }
    run.errors("a message about it", |text| text.contains("static"));
    run.output("both", |text| text.matches("ready").count() == 2);
    for (instance, port) in [("0", first), ("1", second)] {
        let answer = Request::get(&Door::Tcp(([127, 0, 0, 1], port).into()), "/api?ms=0").unwrap();
        assert!(
            answer.worker().starts_with(&format!("{instance} ")),
            "{}",
            answer.body
        );
    }
    assert!(
        !run.events().iter().any(|event| event.is("listening")),
        "{}",
        run.story()
    );
}

/// Far more connections than anybody here may have open: each is answered in its turn, and none
/// is refused or reset.
#[test]
fn ten_thousand_connections_with_few_descriptors() {
    const CONNECTIONS: usize = 10_000;
    let _turn = alone();
    raise_file_limit(CONNECTIONS as u64 + 200);
    let setup = Setup::example("bun-serve/server.ts")
        .instances(2)
        .limit(600);
    let mut run = setup.before(["prlimit", "--nofile=256:256"]).start();
    run.listening(2);

    let to = ([127, 0, 0, 1], run.port).into();
    let outcomes = storm(
        to,
        "/api?ms=0",
        CONNECTIONS,
        run.deadline - Duration::from_secs(10),
    );
    let answered = BTreeMap::from([("HTTP/1.1 200 OK".to_owned(), CONNECTIONS)]);
    assert_eq!(outcomes, answered, "{}", run.story());
    assert!(
        !run.events().iter().any(|event| event.is("exited")),
        "{}",
        run.story()
    );
}
