//! What maitred says to command lines that are wrong, in a file: a change of wording shows in review.

use std::fmt::Write;

use crate::harness::Place;
use crate::snapshot::is_as_kept;

/// Without any app, in a folder with a script. None of them starts anything.
const WITHOUT_APPS: &[&str] = &[
    "strat app.sh",
    "frobnicate",
    "deploy production",
    "-n api start app.sh",
    "start",
    "start gone.js",
    "start gone",
    "start gone.json",
    "start .",
    "start notes.txt",
    "start notes.xyz",
    "start app.sh --frobnicate",
    "start app.sh --instnaces 2",
    "start app.sh --container",
    "start app.sh --max-restarts",
    "start app.sh --max-restarts x",
    "start app.sh --max-restarts -1",
    "start app.sh -i many",
    "start app.sh -i 5000",
    "start app.sh --kill-timeout soon",
    "start app.sh --kill-timeout -5",
    "start app.sh --balance fair",
    "start app.sh --kill-signal SIGX",
    "start app.sh --max-memory-restart lots",
    "start app.sh --cron whenever",
    "start app.sh --log-type xml",
    "start app.sh --per thing",
    "start app.sh --port 70000",
    "start app.sh --metrics somewhere",
    "start app.sh --stop-exit-codes x",
    "start app.sh --uid no-such-user",
    "start app.sh --interpreter no-such-program",
    "start app.sh --cwd gone",
    "start app.sh --env-file gone.env",
    "start app.sh --only x",
    "start app.sh --sort colour",
    "start app.sh --sort name:up",
    "start app.sh --queue 5",
    "start app.sh --response-timeout 5",
    "start app.sh --name all",
    "start job.json --only jop",
    "startOrReload gone.json",
    "stop",
    "restart",
    "delete",
    "scale",
    "scale job",
    "describe",
    "env",
    "sendSignal SIGUSR2",
    "send 0",
    "stop all",
    "reload all",
    "describe all",
    "sendSignal SIGUSR2 all",
    "stop gone",
    "stop 17",
    "stop /[/",
    "stop gone.json",
    "stop job.json",
    "scale gone 2",
    "env 7",
    "env gone",
    "send 7 x",
    "send gone x",
    "logs gone --nostream",
    "logs --lines x",
    "logs --err --out",
    "pid gone",
    "id gone",
    "flush gone",
    "metrics gone",
    "ls --sort colour",
    "ls extra",
    "resurrect",
    "resurrect --killed",
    "save",
    "startup upstart",
    "unstartup launchd",
    "completion klingon",
    "check",
    "check gone.json",
    "run",
    "run gone.js",
    "run gone.json",
    "run app.sh --attach",
    "ping extra",
];

/// Beside two apps that are in the list and do not run.
const WITH_APPS: &[&str] = &[
    "stop jop",
    "restart 17",
    "reload jop other",
    "delete web",
    "describe jop",
    "env 17",
    "env job",
    "send 0 hello",
    "send job hello",
    "send 17 hello",
    "sendSignal SIGX job",
    "sendSignal SIGUSR2 job",
    "sendSignal job SIGUSR2",
    "scale job",
    "scale job many",
    "scale job 0",
    "scale job 1",
    "scale job 2000",
    "restart job --name other",
    "restart job --cwd gone",
    "restart job --instances many",
    "restart job --per request",
    "reload 0 -k soon",
    "start notes.sh --name job",
    "start job.json --only jop",
    "stop job.json --only jop",
    "logs jop --nostream",
    "logs job --nostream --highlight",
    "reset jop",
];

#[test]
fn errors_of_the_command_line_are_as_the_snapshot_has_them() {
    let mut place = Place::new()
        .file("notes.txt", "")
        .file("notes.xyz", "")
        .file("notes.sh", "")
        .file(
            "job.json",
            "{ script: 'app.sh', name: 'job', autostart: false }",
        )
        .file(
            "more.json",
            "{ script: 'app.sh', name: 'other', autostart: false }",
        );
    let home = place.path(".maitred");
    place.set("MAITRED_HOME", home.to_str().unwrap());
    let mut text = String::new();
    for line in WITHOUT_APPS {
        add(&mut text, &place, line);
    }
    for config in ["job.json", "more.json"] {
        let added = place.maitred(&["start", config]);
        assert_eq!(added.code, 0, "{added:?}");
    }
    text.push_str("# Beside the apps job and other, which do not run\n\n");
    for line in WITH_APPS {
        add(&mut text, &place, line);
    }
    let file = home.join("file");
    std::fs::write(&file, "").unwrap();
    place.set("MAITRED_HOME", file.to_str().unwrap());
    text.push_str("# With a MAITRED_HOME that is a file\n\n");
    add(&mut text, &place, "start app.sh");
    is_as_kept("command_line_errors.txt", &text, "command_line");
}

/// Adds what maitred says to this command line on standard error.
fn add(text: &mut String, place: &Place, line: &str) {
    let args: Vec<_> = line.split(' ').collect();
    let ended = place.maitred(&args);
    let here = place.path("");
    let here = here.to_str().unwrap().trim_end_matches('/');
    let _ = writeln!(text, "$ maitred {line}  # exit code {}", ended.code);
    let said = match ended.errors.as_str() {
        "" => "(nothing)\n",
        said => said,
    };
    let _ = writeln!(text, "{}", said.replace(here, "/app"));
}
