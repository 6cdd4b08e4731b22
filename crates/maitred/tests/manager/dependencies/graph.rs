//! How long a graph of apps takes to start.

use std::fs;

use serde_json::json;

use super::{forget, order};
use crate::harness::beside_others;
use crate::home::Home;
use crate::wait::until_it_is;

/// Thirty jobs, six deep, take the time of six: each is done only when all of its level have begun, so a
/// start that takes one after the other does not end.
#[test]
fn a_graph_starts_in_the_time_of_its_depth() {
    const DEPTH: usize = 6;
    const WIDTH: usize = 5;
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "member.sh",
        "cd levels\n: >$1-$2\nwhile [ $(ls | grep -c ^$1-) -lt $3 ]; do sleep 0.02; done\n\
         echo $1 >>../order\n",
    );
    let name = |level: usize, number: usize| format!("job-{level}-{number}");
    let mut apps = Vec::new();
    for level in 0..DEPTH {
        for number in 0..WIDTH {
            let others = 0..if level == 0 { 0 } else { WIDTH };
            let before =
                others.map(|other| json!({ "app": name(level - 1, other), "until": "completed" }));
            apps.push(json!({
                "name": name(level, number), "script": "member.sh", "autorestart": false,
                "args": [format!("level{level}"), number.to_string(), WIDTH.to_string()],
                "depends_on": before.collect::<Vec<_>>(),
            }));
        }
    }
    // In the file, who needs others comes first.
    apps.reverse();
    home.file("apps.json", &json!(apps).to_string());
    for command in ["start", "restart"] {
        fs::create_dir(home.folder().join("levels")).unwrap();
        home.does(&[command, "apps.json"]);
        // The last ones are up when they run; `stop` would end them before they are done.
        until_it_is("all are done", || order(&home).len() == DEPTH * WIDTH);
        let of_level = |level: usize| (0..WIDTH).map(move |_| format!("level{level}"));
        let expected: Vec<_> = (0..DEPTH).flat_map(of_level).collect();
        assert_eq!(order(&home), expected, "{command}");
        forget(&home);
        fs::remove_dir_all(home.folder().join("levels")).unwrap();
    }
}
