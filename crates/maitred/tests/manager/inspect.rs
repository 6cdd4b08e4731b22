//! What is shown of apps: to people, to programs, and what to nobody.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Door, Request, beside_others};
use crate::home::{Home, NODE_SERVER, ended};

#[test]
fn the_list_is_plain_when_nobody_looks_at_it() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-i", "2", "--name", "api"]);
    home.is_up("api", 2);
    for _ in 0..6 {
        Request::get(&home.door(), "/").unwrap();
    }
    for command in ["list", "ls", "status", "ps"] {
        let list = home.does(&[command]);
        assert!(!list.contains('\x1b'), "{list:?}");
        let lines: Vec<_> = list.lines().collect();
        assert_eq!(lines.len(), 3, "{list}");
        assert!(lines[0].starts_with("id  name"), "{list}");
        let served = |line: &&str| -> u64 {
            let last = line.split_whitespace().next_back().unwrap();
            last.parse().unwrap()
        };
        assert_eq!(lines[1..].iter().map(served).sum::<u64>(), 6, "{list}");
    }
    home.fails(&["list", "--sort", "beauty"]);
    let sorted = home.does(&["list", "--sort", "id:desc"]);
    let second = sorted.lines().nth(1).unwrap();
    assert!(second.trim_start().starts_with('1'), "{sorted}");
}

/// Where each request is placed by itself, requests are shown: four over one connection.
#[test]
fn requests_are_shown_where_requests_are_placed() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "--per", "request", "--name", "api"]);
    home.is_up("api", 1);
    let Door::Tcp(address) = home.door() else {
        panic!("not a TCP app");
    };
    let mut stream = TcpStream::connect(address).unwrap();
    let ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all((ask + last).as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let list = home.does(&["list"]);
    let words: Vec<_> = list.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(words[words.len() - 2..], ["0", "4"], "{list}");
    let described = home.does(&["describe", "api"]);
    let wanted = "  requests            0 open, 4 in all, 0 failed\n";
    assert!(described.contains(wanted), "{described}");
}

#[test]
fn programs_get_the_fields_that_they_know() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    // Who it is stands in no variable in a container, or at the machine's start.
    let mut command = home.command(&["start", "server.js", "-i", "2", "--", "--loud"]);
    command.env_remove("USER");
    assert_eq!(ended(command).code, 0);
    let instances = home.instances();
    assert_eq!(instances.len(), 2);
    let user = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
    for (number, instance) in instances.iter().enumerate() {
        let env = &instance["pm2_env"];
        assert_eq!(instance["name"], "server");
        assert_eq!(instance["pm_id"], number);
        assert!(instance["monit"]["memory"].as_u64().unwrap() > 1_000_000);
        assert!(instance["monit"]["cpu"].is_number());
        for (field, value) in [
            ("status", Value::from("online")),
            ("namespace", "default".into()),
            ("restart_time", 0.into()),
            ("unstable_restarts", 0.into()),
            ("exec_mode", "cluster_mode".into()),
            ("instances", 2.into()),
            ("NODE_APP_INSTANCE", number.into()),
            ("exec_interpreter", "node".into()),
            ("autorestart", true.into()),
            ("watch", false.into()),
            ("args", vec!["--loud"].into()),
        ] {
            assert_eq!(env[field], value, "{field}");
        }
        for field in ["pm_uptime", "created_at"] {
            assert!(env[field].as_u64().unwrap() > 1_600_000_000_000, "{field}");
        }
        for field in [
            "pm_exec_path",
            "pm_cwd",
            "pm_out_log_path",
            "pm_err_log_path",
            "pm_pid_path",
        ] {
            assert!(env[field].as_str().unwrap().starts_with('/'), "{field}");
        }
        let pid_file = std::fs::read_to_string(env["pm_pid_path"].as_str().unwrap()).unwrap();
        assert_eq!(pid_file, instance["pid"].to_string());
        assert_eq!(env["env"]["PORT"], home.port.to_string());
        // It holds the app's variables alone.
        for name in ["name", "pm_id", "instances", "NODE_APP_INSTANCE"] {
            assert!(env["env"].get(name).is_none(), "{name}");
        }
        // pm2 has it in both places.
        assert_eq!(env["PORT"], home.port.to_string());
        assert_eq!(env["username"], user);
    }
    // With `instance_var` that variable is one of the app's.
    let app = r#"{ "name": "named", "script": "server.js", "instances": 2, "instance_var": "ID" }"#;
    home.file("named.json", app);
    let mut command = home.command(&["start", "named.json"]);
    command.env("PORT", crate::harness::free_port().to_string());
    assert_eq!(ended(command).code, 0);
    for (number, instance) in home.instances().iter().skip(2).enumerate() {
        assert_eq!(instance["pm2_env"]["env"]["ID"], number.to_string());
    }
    home.does(&["delete", "named"]);
    let pretty = home.does(&["prettylist"]);
    assert!(pretty.starts_with("[\n  {"), "{pretty}");
    assert!(pretty.contains("name: 'server'"), "{pretty}");
    let pids: Vec<_> = home.pids().iter().map(i32::to_string).collect();
    assert_eq!(
        home.does(&["pid", "server"]).lines().collect::<Vec<_>>(),
        pids
    );
    assert_eq!(home.does(&["id", "server"]), "[ 0, 1 ]\n");
    assert_eq!(home.does(&["id", "nobody"]), "[]\n");
    assert!(home.does(&["ping"]).contains("pong"));
}

#[test]
fn secrets_are_for_those_who_ask_for_them() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let file = "{ script: 'job.sh', env: { T_PLAIN: 'plain', DB_PASSWORD: 'hunter2' } }";
    home.file("a.json", file);
    let said = home.run(&["start", "a.json"]);
    let described = home.run(&["describe", "job"]);
    let listed = home.run(&["ls"]);
    for shown in [&said, &described, &listed] {
        let all = format!("{}{}", shown.output, shown.errors);
        assert!(!all.contains("hunter2"), "{all}");
    }
    assert!(described.output.contains("DB_PASSWORD"), "{described:?}");
    assert!(described.output.contains("T_PLAIN=plain"), "{described:?}");
    assert!(home.does(&["env", "0"]).contains("DB_PASSWORD: hunter2"));
    home.fails(&["env", "7"]);
    assert!(home.does(&["jlist"]).contains("hunter2"));
    let log = std::fs::read_to_string(home.path().join("apps/job/supervisor.log")).unwrap();
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn what_is_watched_is_described() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.file("src/a.js", "");
    let file = "{ script: 'job.sh', watch: ['src', 'gone'], ignore_watch: ['*.log'] }";
    home.file("a.json", file);
    let said = home.run(&["start", "a.json"]);
    assert!(said.errors.contains("gone is not watched"), "{said:?}");
    let described = home.does(&["describe", "job"]);
    let watched = described.lines().find(|line| line.contains("watched"));
    let folder = home.folder().canonicalize().unwrap();
    let paths = format!("{0}/src, {0}/gone (without *.log)", folder.display());
    assert!(watched.unwrap().ends_with(&paths), "{described}");
    home.does(&["start", "job.sh", "--name", "other"]);
    let described = home.does(&["describe", "other"]);
    let watched = described.lines().find(|line| line.contains("watched"));
    assert!(watched.unwrap().ends_with(" -"), "{described}");
}

/// The workers of `node:cluster` listen themselves, unless the app's own code says that the primary
/// passes connections on.
#[test]
fn a_cluster_that_its_primary_serves_is_described() {
    let _turn = beside_others();
    for (policy, passes_on) in [("SCHED_RR", true), ("SCHED_NONE", false)] {
        let home = Home::new();
        let text = format!(
            "const cluster = require('node:cluster');
             cluster.schedulingPolicy = cluster.{policy};
             if (cluster.isPrimary) for (let i = 0; i < 2; i++) cluster.fork();
             else require('node:http').createServer((_, response) => response.end('{{}}'))
                 .listen(process.env.PORT, () => console.log('up'));"
        );
        home.file("app.js", &text);
        home.does(&["start", "app.js", "-i", "1", "--name", "app"]);
        // Both listen, each in its way.
        home.is_up("app", 2);
        let Door::Tcp(address) = home.door() else {
            panic!("not a TCP app");
        };
        assert_eq!(Request::get(&Door::Tcp(address), "/").unwrap().status, 200);
        let described = home.does(&["describe", "app"]);
        let mut lines = described.lines();
        let sockets = lines.find(|line| line.contains("shared sockets")).unwrap();
        let found = sockets.contains("primary passes connections on");
        assert_eq!(found, passes_on, "{described}");
    }
}

#[test]
fn silent_means_silent() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let said = ended(home.command(&["start", "job.sh", "-s"]));
    assert_eq!((said.output, said.errors), (String::new(), String::new()));
}

#[test]
fn names_cannot_do_anything_to_the_terminal() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.fails(&["start", "job.sh", "--name", "a\x1b[2J"]);
    let file = "{ script: 'job.sh', env: { T_ODD: 'x\\u001b[2Jy' } }";
    home.file("a.json", file);
    home.does(&["start", "a.json"]);
    let described = home.does(&["describe", "job"]);
    assert!(!described.contains('\x1b'), "{described:?}");
}

#[test]
fn logs_end_with_whoever_reads_them() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "echo one\nsleep 1000\n");
    home.does(&["start", "job.sh"]);
    let mut command = home.command(&["logs", "job", "--raw"]);
    command.stdout(std::process::Stdio::piped());
    let mut logs = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    drop(logs.stdout.take());
    // Nothing is written any more, and it ends all the same.
    let handle = rustix::process::pidfd_open(
        rustix::process::Pid::from_child(&logs),
        rustix::process::PidfdFlags::empty(),
    );
    let handle = handle.unwrap();
    let mut fds = [rustix::event::PollFd::new(
        &handle,
        rustix::event::PollFlags::IN,
    )];
    let limit = rustix::event::Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    let ended = rustix::event::poll(&mut fds, Some(&limit)).unwrap();
    let _ = logs.kill();
    let _ = logs.wait();
    assert_eq!(ended, 1);
}

/// A reader who has gone is no error, a full disk is; neither is a panic.
#[test]
fn output_that_cannot_be_written() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh"]);
    for line in [
        &["list"][..],
        &["list", "-m"],
        &["jlist"],
        &["prettylist"],
        &["describe", "job"],
        &["env", "0"],
        &["pid"],
        &["id", "job"],
        &["ping"],
        &["check", "job.sh"],
        &["completion", "bash"],
        &["flush"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let full = std::fs::File::options().write(true).open("/dev/full");
        for (out, code) in [(Stdio::from(writer), 0), (full.unwrap().into(), 1)] {
            let mut command = home.command(line);
            let output = command.stdout(out).stderr(Stdio::piped()).output();
            let output = output.unwrap();
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{line:?}: {errors}");
            assert_eq!(errors.contains("No space left"), code == 1, "{errors}");
        }
    }
}
