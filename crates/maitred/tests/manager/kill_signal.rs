//! Which signal, or message, asks an app to stop.

use crate::harness::beside_others;
use crate::home::{Home, ended};

const JOB: &str = "
for signal in INT TERM USR2; do trap \"echo got $signal; exit 0\" $signal; done
echo up
while :; do sleep 1; done
";

const NODE: &str = "
process.on('message', (message) => { console.log('got', message); process.exit(); });
process.on('SIGINT', () => { console.log('got INT'); process.exit(); });
console.log('up');
setInterval(() => {}, 1e6);
";

#[test]
fn the_signal_that_stops_an_app_is_chosen() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", JOB);
    home.file("job.js", NODE);
    home.file(
        "a.json",
        "{ script: 'job.sh', name: 'file', kill_signal: 'SIGTERM' }",
    );
    let term = ("PM2_KILL_SIGNAL", "SIGTERM");
    let message = ("PM2_KILL_USE_MESSAGE", "true");
    for (name, line, variable, expected) in [
        ("usual", "start job.sh", None, "got INT"),
        ("flag", "start job.sh --kill-signal usr2", None, "got USR2"),
        ("variable", "start job.sh", Some(term), "got TERM"),
        (
            "over",
            "start job.sh --kill-signal 12",
            Some(term),
            "got USR2",
        ),
        ("file", "start a.json", None, "got TERM"),
        (
            "bad",
            "start job.sh",
            Some(("PM2_KILL_SIGNAL", "SIGX")),
            "got INT",
        ),
        ("node", "start job.js", None, "got INT"),
        ("message", "start job.js", Some(message), "got shutdown"),
    ] {
        let mut words: Vec<_> = line.split(' ').collect();
        if name != "file" {
            words.extend(["--name", name]);
        }
        let mut start = home.command(&words);
        start.envs(variable);
        let started = ended(start);
        assert_eq!(started.code, 0, "{name}: {started:?}");
        let warned = started
            .errors
            .contains("PM2_KILL_SIGNAL does nothing: \"SIGX\"");
        assert_eq!(warned, name == "bad", "{started:?}");
        let lines = home.follow(name);
        assert_eq!(lines.next(), "up", "{name}");
        home.does(&["stop", name]);
        assert_eq!(lines.next(), expected, "{name}");
    }
}
