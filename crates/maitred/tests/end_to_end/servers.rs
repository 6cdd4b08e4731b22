//! Servers that bring processes of their own, as they come from their packages.

use std::path::PathBuf;

use crate::harness::{Setup, beside_others, deal, path_with_tools};

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

/// Debian keeps it where ordinary users do not look.
fn nginx() -> PathBuf {
    let path = path_with_tools();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut programs = folders.map(|folder| folder.join("nginx"));
    programs
        .find(|program| program.is_file())
        .expect("nginx is missing; `make test` installs what the tests need")
}
