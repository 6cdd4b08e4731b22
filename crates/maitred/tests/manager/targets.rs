//! What commands are applied to.

use crate::harness::beside_others;
use crate::home::Home;

fn three() -> Home {
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    for (name, namespace) in [("api-one", "web"), ("api-two", "web"), ("worker", "back")] {
        home.does(&["start", "job.sh", "-n", name, "--namespace", namespace]);
    }
    home
}

fn stopped(home: &Home) -> Vec<u64> {
    let statuses = home.statuses().into_iter();
    let stopped = statuses.filter(|(_, status)| status == "stopped");
    stopped.map(|(id, _)| id).collect()
}

#[test]
fn names_numbers_namespaces_and_patterns() {
    let _turn = beside_others();
    let home = three();
    for (targets, expected) in [
        (&["worker"][..], &[2][..]),
        (&["0"], &[0]),
        (&["web"], &[0, 1]),
        (&["/^api/"], &[0, 1]),
        (&["worker", "1"], &[1, 2]),
        (&["all"], &[0, 1, 2]),
    ] {
        home.does(&[&["stop"], targets].concat());
        assert_eq!(stopped(&home), expected, "{targets:?}");
        home.does(&["start", "all"]);
        assert_eq!(stopped(&home), [0; 0], "{targets:?}");
    }
}

#[test]
fn what_is_not_there_is_an_error_and_nothing_happens() {
    let _turn = beside_others();
    let home = three();
    for command in ["stop", "restart", "reload", "delete", "describe", "reset"] {
        let said = home.fails(&[command, "nobody"]);
        assert!(said.contains("nobody"), "{command}: {said}");
        home.fails(&[command, "17"]);
    }
    home.fails(&["stop", "worker", "nobody"]);
    home.fails(&["stop", "/[/"]);
    assert_eq!(stopped(&home), [0; 0]);
}

#[test]
fn the_same_name_may_be_in_two_namespaces() {
    let _turn = beside_others();
    let home = three();
    home.does(&["start", "job.sh", "-n", "worker", "--namespace", "other"]);
    home.fails(&["start", "job.sh", "-n", "worker", "--namespace", "other"]);
    home.does(&["stop", "other"]);
    assert_eq!(stopped(&home), [3]);
    home.does(&["stop", "worker"]);
    assert_eq!(stopped(&home), [2, 3]);
}

#[test]
fn one_instance_of_several() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-i", "3"]);
    let before = home.pids();
    home.does(&["stop", "1"]);
    assert_eq!(stopped(&home), [1]);
    home.does(&["restart", "2"]);
    home.does(&["start", "1"]);
    let after = home.pids();
    assert_eq!(after[0], before[0]);
    assert!(after[1] != before[1] && after[2] != before[2]);
    home.does(&["delete", "0"]);
    let ids: Vec<_> = home.statuses().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [1, 2]);
}

#[test]
fn config_files_stand_for_their_apps() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let file = "module.exports = { apps: [\
                    { name: 'a', script: 'job.sh' },\
                    { name: 'b', script: 'job.sh', instances: 2 },\
                ] }";
    home.file("ecosystem.config.js", file);
    home.does(&["start", "--only", "a"]);
    assert_eq!(home.statuses().len(), 1);
    home.does(&["startOrReload", "ecosystem.config.js"]);
    assert_eq!(home.statuses().len(), 3);
    let before = home.pids();
    home.does(&["startOrRestart", "ecosystem.config.js", "--only", "b"]);
    let after = home.pids();
    assert_eq!(before[0], after[0]);
    assert!(before[1..].iter().all(|pid| !after.contains(pid)));
    home.does(&["stop", "ecosystem.config.js", "--only", "b"]);
    assert_eq!(stopped(&home), [1, 2]);
    home.does(&["delete", "ecosystem.config.js"]);
    assert_eq!(home.statuses(), []);
}

/// A file means its own apps: not those of the same name elsewhere, and not more than there are.
#[test]
fn a_config_file_means_no_apps_of_other_namespaces() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "worker", "--namespace", "prod"]);
    let file = r#"[{"name": "worker", "script": "job.sh", "namespace": "staging"},
                   {"name": "never", "script": "job.sh", "autostart": false}]"#;
    home.file("apps.json", file);
    // Nothing of the file is there.
    home.fails(&["stop", "apps.json"]);
    assert_eq!(stopped(&home), [0; 0]);
    home.does(&["start", "apps.json", "--only", "worker"]);
    home.does(&["stop", "apps.json"]);
    assert_eq!(stopped(&home), [1]);
    home.does(&["delete", "apps.json"]);
    let ids: Vec<_> = home.statuses().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [0]);
}

/// Exit codes are pm2's: to act on nothing fails, to save nothing does not.
#[test]
fn without_apps_there_is_nothing_to_act_on() {
    let _turn = beside_others();
    let home = Home::new();
    for command in ["stop", "restart", "reload", "delete", "reset", "describe"] {
        let errors = home.fails(&[command, "all"]);
        assert!(errors.contains("there are no apps"), "{command}: {errors}");
    }
    home.fails(&["sendSignal", "SIGUSR2", "all"]);
    home.does(&["save"]);
    home.does(&["ls"]);
}

/// As with pm2: scripts flush before they start, and a list of apps may be empty.
#[test]
fn where_there_is_nothing_to_do_that_is_said_and_no_error() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("none.json", "[]");
    for line in [
        &["flush", "nobody"][..],
        &["start", "none.json"],
        &["restart", "none.json"],
        &["stop", "none.json"],
        &["delete", "none.json"],
    ] {
        let said = home.run(line);
        assert_eq!(said.code, 0, "{line:?}: {said:?}");
        let expected = if line[0] == "flush" {
            "nothing is emptied"
        } else {
            "none.json: its list of apps is empty"
        };
        assert!(said.errors.contains(expected), "{line:?}: {said:?}");
        let silent = home.run(&[line, &["-s"]].concat());
        assert_eq!(silent.errors, "", "{line:?}");
    }
    // A file in which nothing was written is a mistake.
    home.file("empty.json", "");
    home.file("empty.yaml", "# nothing\n");
    for file in ["empty.json", "empty.yaml"] {
        for command in ["start", "restart", "stop", "delete"] {
            let errors = home.fails(&[command, file]);
            let expected = format!("{file}: there is nothing in it");
            assert!(errors.contains(&expected), "{command}: {errors}");
        }
    }
}

#[test]
fn what_scaling_comes_to_is_said() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-i", "1"]);
    for (change, expected) in [
        ("1", "job has 1 instance already"),
        ("0", "no instances left"),
        ("-1", "no instances left"),
        ("-5", "no instances left"),
        ("many", "expected a number"),
        ("2000", "at most 1024"),
        ("99999999999", "expected a number"),
    ] {
        let errors = home.fails(&["scale", "job", change]);
        assert!(errors.contains(expected), "{change}: {errors}");
    }
    let said = home.run(&["scale", "job", "+1"]);
    assert!(said.errors.contains("scaled from 1 to 2"), "{said:?}");
    assert!(
        home.fails(&["scale", "job", "2"])
            .contains("2 instances already")
    );
}

/// pm2 asks in this order too: a name, a namespace, a number.
#[test]
fn a_number_may_be_a_name_or_a_namespace() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "2"]);
    home.does(&["start", "job.sh", "-n", "b", "--namespace", "0"]);
    home.does(&["start", "job.sh", "-n", "c"]);
    home.does(&["stop", "2"]);
    assert_eq!(stopped(&home), [0]);
    home.does(&["stop", "0"]);
    assert_eq!(stopped(&home), [0, 1]);
}

/// As with pm2: `stop app.js` stops what runs it, whatever it is called.
#[test]
fn a_script_stands_for_the_apps_that_run_it() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.file("sub/job.sh", "sleep 1000\n");
    home.file("plain", "#!/bin/sh\nsleep 1000\n");
    home.does(&["start", "job.sh", "-n", "a"]);
    home.does(&["start", "job.sh", "-n", "b"]);
    home.does(&["start", "sub/job.sh", "-n", "c"]);
    home.does(&["start", "plain", "-n", "d"]);
    home.does(&["stop", "job.sh"]);
    assert_eq!(stopped(&home), [0, 1]);
    home.does(&["restart", "./sub/../job.sh"]);
    assert_eq!(stopped(&home), [0; 0]);
    home.does(&["stop", "sub/job.sh"]);
    assert_eq!(stopped(&home), [2]);
    // To start a script is to start a new app.
    home.does(&["start", "plain"]);
    assert_eq!(home.statuses().len(), 5);
    home.does(&["delete", "plain"]);
    // A name comes before a file of the same name.
    assert_eq!(home.statuses().len(), 4);
    home.does(&["delete", "plain"]);
    assert_eq!(home.statuses().len(), 3);
    home.fails(&["stop", "plain"]);
}

/// The script or the interpreter of one is not there: the others run, and it is named.
#[test]
fn one_bad_app_of_a_file_does_not_stop_the_others() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    let file = r#"[
        {"name": "one", "script": "job.sh"},
        {"name": "bad", "script": "missing.js"},
        {"name": "odd", "script": "job.sh", "interpreter": "no-such-program"},
        {"name": "two", "script": "job.sh"}
    ]"#;
    home.file("apps.json", file);
    let names = || {
        let instances = home.instances();
        let names = instances
            .iter()
            .map(|it| it["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    for command in ["start", "restart", "reload", "startOrReload"] {
        let before = match command {
            "start" => Vec::new(),
            _ => home.pids(),
        };
        let said = home.fails(&[command, "apps.json"]);
        for bad in ["bad", "missing.js", "odd", "no-such-program"] {
            assert!(said.contains(bad), "{command}: {said}");
        }
        assert_eq!(names(), ["one", "two"], "{command}");
        assert!(
            home.pids()
                .iter()
                .all(|pid| *pid > 0 && !before.contains(pid))
        );
    }
    home.does(&["delete", "all"]);
    let said = home.fails(&["start", "missing.js", "job.sh"]);
    assert!(said.contains("missing.js"), "{said}");
    assert_eq!(names(), ["job"]);
    // To see what is wrong nothing need be right.
    let checked = home.run(&["check", "apps.json"]);
    assert_eq!(
        (checked.code, checked.output.as_str()),
        (1, ""),
        "{checked:?}"
    );
}

/// As deploys do it: `current` leads to the release that runs, and a shell stands in it.
#[test]
fn a_folder_that_a_link_leads_to_is_called_as_the_shell_calls_it() {
    let _turn = beside_others();
    let home = Home::new();
    for release in ["1", "2"] {
        let text = format!("echo release {release}; exec sleep 1000\n");
        home.file(&format!("releases/{release}/app.sh"), &text);
        let file = r#"{"name": "other", "script": "app.sh"}"#;
        home.file(&format!("releases/{release}/app.json"), file);
    }
    let current = home.folder().join("current");
    let swap = |release: &str| {
        let next = home.folder().join("next");
        std::os::unix::fs::symlink(format!("releases/{release}"), &next).unwrap();
        std::fs::rename(next, &current).unwrap();
    };
    swap("1");
    let start = |target: &str, name: &std::path::Path| {
        let mut command = home.command(&["start", target]);
        command.current_dir(&current).env("PWD", name);
        let said = crate::home::ended(command);
        assert_eq!(said.code, 0, "{said:?}");
    };
    start("app.sh", &current);
    start("app.json", &current);
    for app in ["app", "other"] {
        assert_eq!(home.follow(app).next(), "release 1");
    }
    swap("2");
    home.does(&["restart", "all"]);
    for app in ["app", "other"] {
        let lines = home.follow(app);
        assert_eq!([lines.next(), lines.next()], ["release 1", "release 2"]);
    }
    // A name that leads elsewhere is none.
    home.does(&["delete", "all"]);
    start("app.sh", &home.folder().join("releases/1"));
    let cwd = &home.instances()[0]["pm2_env"]["pm_cwd"];
    let real = home.folder().canonicalize().unwrap().join("releases/2");
    assert_eq!(cwd.as_str().unwrap(), real.to_str().unwrap());
}
