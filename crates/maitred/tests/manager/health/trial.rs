//! Health checks in the first moments of a new version.

use std::sync::atomic::AtomicBool;
use std::thread;

use serde_json::json;

use super::{Ends, config, load, restarts_for_health};
use crate::harness::beside_others;
use crate::home::Home;

/// A new version that passes its first check and fails in its first moments takes nobody's place: a
/// reload says why, and keeps what serves. One that recovers does.
#[test]
fn who_fails_on_trial_takes_nobodys_place() {
    const APP: &str = "
let checks = 0;
require('http').createServer((request, answer) => {
    if (request.url === '/healthz') checks++;
    answer.statusCode = request.url === '/healthz' && SICK ? 503 : 200;
    answer.end(String(process.pid));
}).listen(process.env.PORT);
";
    let _turn = beside_others();
    for level in ["connection", "request"] {
        let home = Home::new();
        home.file("app.cjs", &APP.replace("SICK", "false"));
        let check = json!({ "http": "/healthz", "interval": "10s" });
        // The trial lasts for eight seconds, so that checks come in it on a busy machine, too.
        let more = json!({
            "per": level, "health": check, "listen_timeout": "3s", "min_uptime": "4s",
        });
        config(&home, "app.cjs", &more);
        home.does(&["start", "apps.json"]);
        let before = home.pids();
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            let until_then = Ends(&ends);
            let running = scope.spawn(|| load(&home.door(), &ends));

            home.file("app.cjs", &APP.replace("SICK", "checks > 1"));
            let errors = home.fails(&["reload", "api"]);
            assert!(
                errors.contains(
                    "was up, then failed its health check and has passed none for 3 s \
                     (listen_timeout); keeping the previous one: it answers 503 to GET /healthz"
                ),
                "{level}: {errors}"
            );
            assert_eq!(home.pids(), before, "{level}");

            let recovers = APP.replace("SICK", "checks > 1 && checks < 4");
            home.file("app.cjs", &recovers);
            home.does(&["reload", "api"]);
            let now = home.pids();
            assert!(now.iter().all(|pid| !before.contains(pid)), "{level}");
            drop(until_then);
            assert!(running.join().unwrap() > 0, "{level}");
        });
        assert_eq!(restarts_for_health(&home), 0, "{level}");
    }
}
