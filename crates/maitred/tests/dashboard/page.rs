//! The page in a real Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{beside_others, path_with_tools, repository, tool};
use crate::home::Home;
use crate::server::Dashboard;

/// A server that writes a line each half of a second, and has some traffic of its own.
const SERVER: &str = "
const http = require('http');
http.createServer((_, answer) => setTimeout(() => answer.end('x'), 5)).listen(process.env.PORT, () => console.log('up'));
let lines = 0;
setInterval(() => console.log(`${++lines === 3 ? 'a late line' : 'a line'} ${lines}`), 500);
setInterval(() => http.get({ port: process.env.PORT, agent: false }, (it) => it.resume()).on('error', () => {}), 50);
";

/// Has the browser do what a scenario says; what it saw.
pub(crate) fn browse(url: &str, scenario: &str, folder: &Path) -> Value {
    let ended = Command::new(tool("node"))
        .arg(repository().join("tests/tools/dashboard.mjs"))
        .arg(tool("chromium"))
        .args([url, scenario])
        .arg(folder)
        .env("PATH", path_with_tools())
        .env("HOME", folder)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&ended.stdout);
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{scenario}: {output}\n{errors}");
    serde_json::from_str(&output).unwrap()
}

/// Where pictures of the page are left: where the environment says, so that one can look at them.
pub(crate) fn pictures(otherwise: &Path) -> PathBuf {
    let folder = std::env::var_os("DASHBOARD_PICTURES");
    folder.map_or_else(|| otherwise.to_owned(), PathBuf::from)
}

/// A home with an app of two instances, and its dashboard.
fn served(flags: &[&str]) -> (Home, Dashboard) {
    let home = Home::new();
    home.file("server.js", SERVER);
    home.does(&[
        "start",
        "server.js",
        "-n",
        "api",
        "-i",
        "2",
        "--per",
        "request",
    ]);
    let dashboard = Dashboard::with(&home, flags);
    (home, dashboard)
}

#[test]
fn it_shows_what_is_follows_what_comes_and_orders() {
    let _turn = beside_others();
    let (home, dashboard) = served(&[]);
    let before = home.pids();
    let seen = browse(&dashboard.url(), "uses", home.folder());
    assert_eq!(seen["faults"], json!([]), "{seen}");
    assert_eq!(seen["moves"], true);
    assert_eq!(seen["marked"], json!(["late"]));
    // One from each of the two.
    assert!(
        seen["found"]
            .as_u64()
            .is_some_and(|found| (1..=2).contains(&found)),
        "{seen}"
    );
    assert!(
        seen["kept"].as_u64().is_some_and(|kept| kept >= 3),
        "{seen}"
    );
    let said = json!([
        "api: restarted",
        "api: reloaded",
        "api: scaled from 2 to 3",
        "api: stopped",
        "api: started"
    ]);
    assert_eq!(seen["said"], said);
    assert!(
        seen["events"].as_str().unwrap().contains("started"),
        "{seen}"
    );
    assert_eq!(seen["isOpen"], false);
    // Pressed away, the question has no effect.
    let pids = home.pids();
    assert!(
        pids.len() == 3 && pids.iter().all(|pid| *pid > 0 && !before.contains(pid)),
        "{pids:?}"
    );
    // The token is out of the address, and no script can read the session.
    assert!(
        !seen["address"].as_str().unwrap().contains("token"),
        "{seen}"
    );
    assert_eq!(seen["readable"], "");
    assert_eq!(
        seen["cookies"],
        json!([{"httpOnly": true, "sameSite": "Strict"}])
    );
}

/// A name, a log and an event with markup and escape sequences.
#[test]
fn what_comes_from_apps_stays_text() {
    let _turn = beside_others();
    let home = Home::new();
    let markup = "<img src=x onerror=window.ran=1><script>window.ran=1</script><b>";
    let script = format!(
        "console.log('{markup}alert \\x1b[31mred\\x1b[0m \\x1b[2J\\x1b]0;t\\x07 \\u202eright'); setTimeout(() => {{}}, 1e8)"
    );
    home.file("app.js", &script);
    let name = "<img src=x onerror=window.ran=1><b>x";
    home.does(&["start", "app.js", "-n", name]);
    let dashboard = Dashboard::of(&home);
    let seen = browse(&dashboard.url(), "hostile", home.folder());
    assert_eq!(seen["name"], name);
    let log = seen["log"].as_str().unwrap();
    let text = format!("{markup}alert red \\u{{1b}}[2J\\u{{1b}}]0;t\\u{{7}} \\u{{202e}}right");
    assert!(log.contains(&text), "{log}");
    assert!(seen["events"].as_str().unwrap().contains(name), "{seen}");
    assert_eq!(seen["elements"], 0);
    assert_eq!(seen["ran"], Value::Null);
    assert_eq!(seen["inline"], "TypeError");
    let own = format!("http://127.0.0.1:{}", dashboard.port);
    assert_eq!(seen["origins"], json!([own]));
    // What was tried on purpose is all that went wrong.
    let faults = seen["faults"].as_array().unwrap();
    let is_on_purpose = |fault: &Value| fault.as_str().unwrap().contains("TrustedHTML");
    assert!(faults.iter().all(is_on_purpose), "{faults:?}");
}

#[test]
fn pages_of_other_sites_and_strangers_get_nothing() {
    let _turn = beside_others();
    let (home, dashboard) = served(&[]);
    let pids = home.pids();
    let seen = browse(&dashboard.url(), "foreign", home.folder());
    for result in seen["results"].as_array().unwrap() {
        assert_eq!(result["get"], "TypeError", "{seen}");
        assert_eq!(result["image"], "refused", "{seen}");
    }
    assert_eq!(home.pids(), pids);
    let stranger = browse(&dashboard.url(), "stranger", home.folder());
    assert_eq!(stranger["status"], 401);
    assert!(
        stranger["text"]
            .as_str()
            .unwrap()
            .contains("maitred dashboard"),
        "{stranger}"
    );
    let reader = Dashboard::with(&home, &["--read-only"]);
    let seen = browse(&reader.url(), "readOnly", home.folder());
    assert_eq!(seen, json!({"badge": true, "buttons": 0, "faults": []}));
}

#[test]
fn it_can_be_read_and_used_by_all_on_every_screen() {
    let _turn = beside_others();
    let (home, dashboard) = served(&[]);
    let seen = browse(&dashboard.url(), "looks", &pictures(home.folder()));
    assert_eq!(seen["faults"], json!([]), "{seen}");
    let views = seen["seen"].as_array().unwrap();
    assert_eq!(views.len(), 12);
    for view in views {
        assert_eq!(
            (&view["axe"], &view["wide"]),
            (&json!([]), &json!(false)),
            "{view:#}"
        );
    }
    let seen = browse(&dashboard.url(), "keyboard", home.folder());
    let expected =
        json!({"focus": "main", "first": "cancel", "said": "api: restarted", "faults": []});
    assert_eq!(seen, expected);
}
