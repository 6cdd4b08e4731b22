//! Flags of `run` that a config file has as fields: what they do to the processes.

use std::fs;

use crate::harness::{Run, Setup, beside_others};

/// Says who it is, and stays.
const PROGRAM: &str = "echo \"it is $NODE_APP_INSTANCE $WHO port $PORT n $N, $FILE, ${HIDDEN-none}\"\n\
                       sleep 1000\n";

#[test]
fn the_environment_is_as_the_flags_say() {
    let _turn = beside_others();
    let setup = Setup::program("env.sh", PROGRAM).instances(2);
    let file = setup.file("variables", "# comment\nFILE='a file'\nPORT=1\n");
    let run = setup
        .env("N", "5")
        .env("HIDDEN", "visible")
        .option("--port", "4321")
        .option("--increment-var", "N")
        .option("--instance-var", "WHO")
        .option("--filter-env", "HIDD")
        .option("--env-file", file)
        .start();
    run.output("both", |text| {
        (0..2).all(|instance| {
            let number = 5 + instance;
            text.contains(&format!(
                "it is  {instance} port 4321 n {number}, a file, none"
            ))
        })
    });
}

#[test]
fn an_exit_code_that_ends_it() {
    let _turn = beside_others();
    let mut run = Setup::program("exit.sh", "exit 3\n")
        .instances(1)
        .option("--stop-exit-codes", "4,3")
        .start();
    let exited = run.event("the exit", |event| event.is("exited"));
    assert_eq!(exited.text("next"), "ended");
    assert_eq!(run.exit_code(), 3);
    assert_eq!(starts(&mut run), 1);
}

#[test]
fn a_run_that_is_too_short_is_unstable() {
    let _turn = beside_others();
    let mut run = Setup::program("exit.sh", "exit 3\n")
        .instances(1)
        .option("--min-uptime", "1h")
        .option("--max-restarts", "2")
        .option("--exp-backoff-restart-delay", "10ms")
        .start();
    assert_eq!(run.exit_code(), 1);
    assert_eq!(starts(&mut run), 3);
}

fn starts(run: &mut Run) -> usize {
    let events = run.events();
    events.iter().filter(|event| event.is("started")).count()
}

/// Waits until all is restarted for this reason.
fn renewed(run: &mut Run, trigger: &str) {
    let renewing = run.event(&format!("the {trigger}"), |event| {
        event.is("renewing") && event.text("trigger") == trigger
    });
    run.event_after(&renewing, "the start after it", |event| event.is("started"));
}

#[test]
fn a_change_restarts_it() {
    let _turn = beside_others();
    let setup = Setup::program("stay.sh", PROGRAM).instances(1);
    let watched = setup.folder().join("watched");
    fs::create_dir(&watched).unwrap();
    let mut run = setup
        .option("--watch", &watched)
        .option("--ignore-watch", "*.tmp")
        .option("--watch-delay", "10ms")
        .start();
    run.output("its start", |text| text.contains("it is"));
    fs::write(watched.join("ignored.tmp"), "").unwrap();
    fs::write(watched.join("a.txt"), "").unwrap();
    let renewing = run.event("the change", |event| event.is("renewing"));
    assert!(
        renewing.text("path").ends_with("a.txt"),
        "{}",
        renewing.json
    );
    renewed(&mut run, "change");
}

#[test]
fn the_calendar_restarts_it() {
    let _turn = beside_others();
    let mut run = Setup::program("stay.sh", PROGRAM)
        .instances(1)
        .option("-c", "TZ=Asia/Tokyo * * * * * *")
        .start();
    renewed(&mut run, "schedule");
}

#[test]
fn too_much_memory_restarts_it() {
    let _turn = beside_others();
    let mut run = Setup::program("stay.sh", PROGRAM)
        .instances(1)
        .option("--max-memory-restart", "10K")
        .start();
    renewed(&mut run, "memory");
}
