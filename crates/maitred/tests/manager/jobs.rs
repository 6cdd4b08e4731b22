//! Jobs: apps whose runs the calendar starts. Their runs never overlap, and the last outcome is shown.

use crate::harness::beside_others;
use crate::home::Home;
use crate::wait::until_it_is;

/// Says so if another run of its instance goes on. Ends when there is a file `go`, or when it is asked
/// to.
const JOB: &str = "
lock=lock$NODE_APP_INSTANCE
mkdir $lock || echo overlap
trap 'rmdir $lock; echo asked; exit 0' INT
echo begins
until [ -e go ]; do sleep 0.05; done
rmdir $lock
echo ends
";

#[test]
fn runs_never_overlap() {
    let _turn = beside_others();
    for (overlap, said) in [
        ("skip", "(cron_overlap: skip)"),
        ("wait", "(cron_overlap: wait)"),
        ("replace", "restarting job (cron_restart)"),
    ] {
        for mode in [&[][..], &["-i", "1"]] {
            let home = Home::new();
            home.file("job.sh", JOB);
            let flags = ["--no-autorestart", "--cron", "* * * * * *"];
            let overlap = ["--cron-overlap", overlap];
            home.does(&[&["start", "job.sh"], &flags[..], &overlap, mode].concat());
            let lines = home.follow("job");
            assert_eq!(lines.next(), "begins");
            let log = home.path().join("apps/job/supervisor.log");
            until_it_is("the log says so", || {
                let log = std::fs::read_to_string(&log).unwrap();
                log.contains(said)
            });
            if overlap[1] == "replace" {
                assert_eq!(lines.next(), "asked");
                assert_eq!(lines.next(), "begins");
            }
            home.file("go", "");
            // The present run ends, and others follow.
            let mut seen = Vec::new();
            while seen.iter().filter(|line| *line == "ends").count() < 3 {
                seen.push(lines.next());
            }
            let is_expected = |line: &String| match line.as_str() {
                "begins" | "ends" => true,
                "asked" => overlap[1] == "replace",
                _ => false,
            };
            assert!(
                seen.iter().all(is_expected),
                "{overlap:?} {mode:?}: {seen:?}"
            );
            // A run is told of once, however often the calendar comes meanwhile.
            if overlap[1] != "replace" {
                let log = std::fs::read_to_string(&log).unwrap();
                let told = log.matches(said).count();
                let runs = log.matches("still runs").count();
                assert!(told == runs && runs <= 1 + seen.len(), "{log}");
            }
        }
    }
}

/// Neither does a command make them overlap.
#[test]
fn a_reload_of_a_job_replaces_its_run() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", JOB);
    let flags = ["--no-autorestart", "--cron", "0 0 30 1 *", "-i", "1"];
    home.does(&[&["start", "job.sh"], &flags[..]].concat());
    let lines = home.follow("job");
    assert_eq!(lines.next(), "begins");
    for command in ["reload", "restart"] {
        home.does(&[command, "job"]);
        assert_eq!(
            [lines.next(), lines.next()],
            ["asked", "begins"],
            "{command}"
        );
    }
}

#[test]
fn the_last_outcome_is_shown_with_its_time() {
    let _turn = beside_others();
    for (ends, listed, described) in [
        ("exit 0", "ok ", "code 0"),
        ("exit 3", "failed (3) ", "code 3"),
        ("kill -SEGV $$", "killed (SIGSEGV) ", "SIGSEGV"),
    ] {
        let home = Home::new();
        home.file("job.sh", &format!("{ends}\n"));
        // It ends at once, and the calendar is far away.
        let flags = ["--no-autorestart", "--cron", "0 0 30 1 *"];
        let _ = home.run(&[&["start", "job.sh"], &flags[..]].concat());
        until_it_is("it is listed", || home.does(&["ls"]).contains(listed));
        let line = |text: &str, start: &str| {
            let mut lines = text.lines().map(str::trim);
            let line = lines.find(|line| line.starts_with(start));
            line.unwrap().to_owned()
        };
        let text = home.does(&["describe", "job"]);
        assert!(line(&text, "last exit").ends_with(described), "{text}");
        let run = line(&text, "last run");
        assert!(run.contains("ended ") && run.contains(", took "), "{run}");
        assert!(line(&text, "cron overlap").ends_with("skip"), "{text}");
        // For a program it is what it was.
        assert_eq!(home.statuses(), [(0, "stopped".to_owned())]);
        // It is still known when another supervisor has the job.
        home.does(&["stop", "job"]);
        let text = home.does(&["describe", "job"]);
        assert_eq!(
            line(&text, "last run").split(',').nth(1),
            run.split(',').nth(1)
        );
    }
}
