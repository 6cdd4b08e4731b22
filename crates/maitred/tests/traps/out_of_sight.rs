//! Programs that listen where the library does not see it: each is told of, and none runs where it
//! would be without something that was asked for.

use crate::client::{Place, visits};
use crate::harness::{Setup, beside_others, free_port};
use crate::victims::{compile, reports, setup};

/// It goes on as without maitred, and it is said that nothing is distributed, and why.
fn is_told_of(setup: Setup, reason: &[&str]) {
    let port = setup.port();
    let mut run = setup.instances(1).start();
    reports(&run, "a listener", 1);
    let event = run.event("the notice", |event| event.is("not_preloaded"));
    for word in reason {
        assert!(event.text("reason").contains(word), "{}", run.story());
    }
    run.errors("the sentence", |text| text.contains(event.text("reason")));
    visits(&Place::Port(port), 3);
    run.no_worker_has_ended();
}

fn address(setup: &Setup) -> String {
    format!("127.0.0.1:{}", setup.port())
}

#[test]
fn a_program_in_go_is_told_of() {
    let _turn = beside_others();
    is_told_of(
        setup("gcc", "go", &[]),
        &["Go", "makes its system calls itself"],
    );
}

#[test]
fn a_program_that_makes_its_system_calls_itself_is_told_of() {
    let _turn = beside_others();
    let setup = setup("gcc", "raw", &[]);
    let address = address(&setup);
    is_told_of(setup, &[&address, "makes its system calls itself"]);
}

/// The program that is started is a shell, and takes a library.
fn behind_a_shell(victim: &str, how: &str) -> Setup {
    let mut setup = Setup::script("");
    let program = compile("gcc", victim, setup.folder());
    let text = format!("#!/bin/sh\n{how} {}\nexit 1\n", program.display());
    let script = setup.file("start.sh", &text);
    setup.set_script(&script);
    setup
}

#[test]
fn a_program_behind_a_shell_is_told_of() {
    let _turn = beside_others();
    for (victim, how, reason) in [
        ("go", "", "is written in Go"),
        ("go", "exec", "is written in Go"),
        ("raw", "", "makes its system calls itself"),
        ("raw", "env -u LD_PRELOAD", "runs without LD_PRELOAD"),
    ] {
        let setup = behind_a_shell(victim, how);
        let address = address(&setup);
        is_told_of(setup, &[&address, reason]);
    }
}

/// Whoever asks for requests to be placed, or for a limit, must not be served without.
#[test]
fn a_program_in_go_is_not_run_without_what_was_asked_for() {
    let _turn = beside_others();
    for (option, value, wanted) in [
        ("--per", "request", "per: request"),
        ("--max-connections", "5", "max_connections"),
    ] {
        let setup = setup("gcc", "go", &[]).option(option, value);
        let mut run = setup.instances(2).start();
        assert_eq!(run.exit_code(), 1, "{}", run.story());
        let (printed, errors) = run.everything_printed();
        let errors = String::from_utf8(errors).unwrap();
        assert!(errors.contains(wanted) && errors.contains("Go"), "{errors}");
        assert_eq!(printed, b"", "it has run");
    }
}

#[test]
fn a_listener_out_of_sight_ends_an_instance_that_needs_to_be_seen() {
    let _turn = beside_others();
    for setup in [setup("gcc", "raw", &[]), behind_a_shell("go", "")] {
        let address = address(&setup);
        let setup = setup.option("--per", "request");
        let mut run = setup.instances(1).start();
        let event = run.event("the refusal", |event| event.is("unfit"));
        assert_eq!(event.text("wanted"), "per: request");
        assert!(event.text("reason").contains(&address), "{}", run.story());
        assert_eq!(run.exit_code(), 1, "{}", run.story());
        let (_, errors) = run.everything_printed();
        let errors = String::from_utf8(errors).unwrap();
        assert!(
            errors.contains("per: request does not work with it"),
            "{errors}"
        );
    }
}

/// What the library leaves to a program is not out of its sight: a port of each instance's own.
#[test]
fn a_listener_of_the_instance_s_own_is_no_fault() {
    let _turn = beside_others();
    let text = r#"
import os, socket, time
own = socket.create_server(("127.0.0.1", 0))
private = socket.create_server(("127.0.0.1", int(os.environ["PRIVATE"])))
# Longer than it takes to be looked at.
time.sleep(2)
shared = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
print("report listening", flush=True)
while True:
    client, _ = shared.accept()
    client.recv(1000)
    client.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    client.close()
"#;
    let private = free_port().to_string();
    let setup = Setup::program("app.py", text)
        .option("--per", "request")
        .option("--private-port", &private)
        .env("PRIVATE", &private);
    let mut run = setup.instances(1).start();
    run.listening(1);
    let events = run.events();
    let mut told = events.iter();
    let told = told.find(|event| event.is("not_preloaded") || event.is("unfit"));
    assert!(told.is_none(), "{}", run.story());
}
