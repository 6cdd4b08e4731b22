//! What a process is told of itself in its environment, under pm2's names.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::beside_others;
use crate::home::Home;

/// The environment of the process of each instance, by the instances' numbers.
fn environments(home: &Home) -> Vec<BTreeMap<String, String>> {
    let pids = home.pids();
    pids.iter()
        .map(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap();
            let text = String::from_utf8(environ).unwrap();
            text.split('\0')
                .filter_map(|entry| entry.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        })
        .collect()
}

#[test]
fn a_process_knows_who_it_is() {
    let _turn = beside_others();
    let home = Home::new();
    let script = home.file("job.sh", "sleep 1000\n").canonicalize().unwrap();
    home.file("extra.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "--namespace", "night"]);
    home.does(&["start", "extra.sh", "-i", "2"]);
    let environments = environments(&home);
    let logs = |name: &str| home.path().join("logs").join(name).display().to_string();
    for (id, name, value) in [
        (0, "pm_id", "0"),
        (0, "name", "job"),
        (0, "namespace", "night"),
        (0, "exec_mode", "fork_mode"),
        (0, "instances", "1"),
        (0, "NODE_APP_INSTANCE", "0"),
        (0, "pm_exec_path", script.to_str().unwrap()),
        (
            0,
            "pm_cwd",
            home.folder().canonicalize().unwrap().to_str().unwrap(),
        ),
        (0, "exec_interpreter", "bash"),
        (2, "pm_id", "2"),
        (2, "name", "extra"),
        (2, "namespace", "default"),
        (2, "exec_mode", "cluster_mode"),
        (2, "instances", "2"),
        (2, "NODE_APP_INSTANCE", "1"),
        (2, "pm_out_log_path", &logs("extra-out-2.log")),
        (2, "pm_err_log_path", &logs("extra-error-2.log")),
    ] {
        let found = environments[id].get(name).map(String::as_str);
        assert_eq!(found, Some(value), "{name} of {id}");
    }
    let pid_file = &environments[0]["pm_pid_path"];
    assert_eq!(
        fs::read_to_string(pid_file).unwrap(),
        home.pids()[0].to_string()
    );
    assert!(!environments[0].contains_key("pm_log_path"));
    // What the command shows is what the process has.
    let shown = home.does(&["env", "2"]);
    for (name, value) in &environments[2] {
        let set = ["LD_PRELOAD", "NODE_CLUSTER_SCHED_POLICY", "_", "SHLVL"];
        let ours = name.starts_with("MAITRED_") || set.contains(&&**name);
        assert!(
            ours || shown.contains(&format!("{name}: {value}\n")),
            "{name}"
        );
    }
}

#[test]
fn what_the_user_writes_goes_over_it() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let file = "{ script: 'job.sh', instances: 2, env: {
        name: 'mine', pm_id: 'x', NODE_APP_INSTANCE: '', pm_out_log_path: '/dev/null',
    } }";
    home.file("a.json", file);
    // What is inherited does not, for it is somebody else's.
    let mut command = home.command(&["start", "a.json"]);
    command.env("namespace", "elsewhere").env("instances", "9");
    let started = crate::home::ended(command);
    assert_eq!(started.code, 0, "{started:?}");
    for environment in environments(&home) {
        for (name, value) in [
            ("name", "mine"),
            ("pm_id", "x"),
            ("NODE_APP_INSTANCE", ""),
            ("pm_out_log_path", "/dev/null"),
            ("namespace", "default"),
            ("instances", "2"),
        ] {
            assert_eq!(environment[name], value, "{name}");
        }
    }
}
