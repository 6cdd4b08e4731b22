//! An instance whose event loop stands still, as commands show it.

use std::fs;

use crate::harness::{Gate, Process, Request, beside_others};
use crate::home::Home;
use crate::wait::until;

/// A server that reads from a gate where it is asked to.
const SERVER: &str = "
const fs = require('fs');
require('http').createServer(({ url }, answer) => {
    if (url === '/hang') fs.readSync(fs.openSync(process.env.GATE), new Uint8Array(1));
    answer.end(String(process.pid));
}).listen(process.env.PORT, () => console.log('up'));
";

/// Asks a command again until it says this.
fn says(home: &Home, args: &[&str], enough: impl Fn(&str) -> bool) -> String {
    until(&args.join(" "), || {
        Some(home.does(args)).filter(|said| enough(said))
    })
}

/// The value of a metric of an instance.
fn metric(text: &str, name: &str, instance: u32) -> f64 {
    let its = format!("instance_number=\"{instance}\"}} ");
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{")) && line.contains(&its));
    let (_, value) = line.unwrap().rsplit_once(' ').unwrap();
    value.parse().unwrap()
}

#[test]
fn a_blocked_instance_is_shown() {
    let _turn = beside_others();
    let home = Home::new();
    let gate = Gate::new(home.folder());
    home.file("server.js", SERVER);
    let mut start = home.command(&["start", "server.js", "-i", "2", "--name", "api"]);
    start.env("GATE", gate.path());
    assert_eq!(crate::home::ended(start).code, 0);
    home.is_up("api", 2);
    let both = home.pids();
    let mut hung = Request::connect(&home.door()).unwrap();
    hung.send("/hang").unwrap();
    let list = says(&home, &["ls"], |list| list.contains("blocked "));
    // The other one is well, and answers.
    assert_eq!(list.matches("online").count(), 1, "{list}");
    let other: i32 = Request::get(&home.door(), "/")
        .unwrap()
        .body
        .parse()
        .unwrap();
    let number = u32::from(other == both[0]);
    let row = list.lines().find(|line| line.contains("blocked")).unwrap();
    assert!(row.contains(&both[number as usize].to_string()), "{list}");
    let shown = home.does(&["describe", "api"]);
    assert_eq!(
        shown.matches("event loop stands still").count(),
        1,
        "{shown}"
    );
    // Programs that know pm2 know no such status.
    let online = [0, 1].map(|id| (id, "online".to_owned()));
    assert_eq!(home.statuses(), online);
    let metrics = home.does(&["metrics"]);
    const NOW: &str = "maitred_instance_blocked";
    const ALL: &str = "maitred_instance_blocked_seconds_total";
    assert_eq!(metric(&metrics, NOW, number), 1.0);
    let before = metric(&metrics, ALL, number);
    assert!(before >= 1.0, "{metrics}");
    gate.lets_pass(1);
    assert_eq!(
        hung.receive().unwrap().body,
        both[number as usize].to_string()
    );
    says(&home, &["ls"], |list| list.matches("online").count() == 2);
    // What has been counted stays, also when the process is another one.
    home.does(&["restart", "api"]);
    let metrics = home.does(&["metrics"]);
    assert_eq!(metric(&metrics, NOW, number), 0.0);
    assert!(metric(&metrics, ALL, number) >= before, "{metrics}");
    assert_eq!(metric(&metrics, ALL, 1 - number), 0.0);
    let log = fs::read_to_string(home.path().join("apps/api/supervisor.log")).unwrap();
    assert_eq!(log.matches("is blocked").count(), 1, "{log}");
}

/// Servers that hang for ever when they are asked to. The first one hears signals in its loop alone, so it
/// has to be killed.
const HANGS: [(&str, &str); 3] = [
    (
        "app.cjs",
        "process.on('SIGINT', () => process.exit());
         require('http').createServer(({ url }, answer) => {
             if (url === '/hang') for (;;);
             answer.end(String(process.pid));
         }).listen(process.env.PORT, () => console.log('up'));",
    ),
    (
        "app.ts",
        "Bun.serve({ port: process.env.PORT, fetch: ({ url }) => {
             if (url.endsWith('/hang')) for (;;);
             return new Response(String(process.pid));
         } });
         console.log('up');",
    ),
    (
        "app.py",
        "
import asyncio, os
async def serve(reader, writer):
    head = await reader.readuntil(b'\\r\\n\\r\\n')
    while b'/hang' in head: pass
    body = str(os.getpid()).encode()
    writer.write(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', int(os.environ['PORT']))
    print('up', flush=True)
    await server.serve_forever()
asyncio.run(main())
",
    ),
];

/// A worker that hangs is replaced, and nobody else notices: the other one serves, and then its successor.
#[test]
fn a_hung_instance_is_replaced() {
    let _turn = beside_others();
    for level in ["connection", "request"] {
        for (file, text) in HANGS {
            let home = Home::new();
            home.file(file, text);
            let start = ["start", file, "--name", "api", "-i", "2", "--per", level];
            let limits = ["--hang-timeout", "1s", "--drain-timeout", "100ms"];
            home.does(&[&start[..], &limits].concat());
            home.is_up("api", 2);
            let before = home.pids();
            let mut hung = Request::connect(&home.door()).unwrap();
            hung.send("/hang").unwrap();
            // Another process takes its place, and the hung one goes.
            let after = until(&format!("{file} per {level} is replaced"), || {
                for _ in 0..10 {
                    let answer = Request::get(&home.door(), "/").unwrap();
                    assert_eq!(answer.status, 200, "{file} {level}");
                }
                let after = home.pids();
                let is_gone = before.iter().any(|pid| Process::find(*pid).is_none());
                (after != before && is_gone).then_some(after)
            });
            let kept = after.iter().filter(|pid| before.contains(pid)).count();
            assert_eq!((after.len(), kept), (2, 1), "{file} {level}");
            // Its client hears that it has gone.
            let ended = hung.receive().map(|answer| answer.status);
            assert!(
                ended.as_ref().map_or(true, |status| *status == 502),
                "{ended:?}"
            );
            let metrics = home.does(&["metrics"]);
            let restarts: Vec<_> = metrics
                .lines()
                .filter(|line| line.starts_with("maitred_instance_restarts_total{"))
                .filter(|line| line.contains("hang_timeout") && line.ends_with(" 1"))
                .collect();
            assert_eq!(restarts.len(), 1, "{metrics}");
        }
    }
}
