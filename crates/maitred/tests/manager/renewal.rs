//! Restarts that nobody asks for: changed files, the calendar, too much memory.

use crate::harness::beside_others;
use crate::home::Home;

#[test]
fn a_changed_file_restarts_the_app_and_an_ignored_one_does_not() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.sh", "cat word; exec sleep 1000");
    home.file("word", "one\n");
    home.file("node_modules/x/y", "");
    home.does(&["start", "app.sh", "--watch", "--watch-delay", "50ms"]);
    let lines = home.follow("app");
    assert_eq!(lines.next(), "one");
    home.file("node_modules/x/y", "changed");
    home.file(".hidden", "changed");
    home.file("word", "two\n");
    assert_eq!(lines.next(), "two");
    // Once for all.
    assert_eq!(home.instances()[0]["pm2_env"]["restart_time"], 1);
}

#[test]
fn the_calendar_restarts_the_app() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.sh", "echo begun; exec sleep 1000");
    home.does(&["start", "app.sh", "--cron-restart", "* * * * * *"]);
    let lines = home.follow("app");
    for _ in 0..3 {
        assert_eq!(lines.next(), "begun");
    }
}

#[test]
fn too_much_memory_restarts_the_app() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "app.py",
        "import sys, time\n\
         print('begun', flush=True)\n\
         x = b'x' * (90 << 20)\n\
         time.sleep(1000)\n",
    );
    home.does(&["start", "app.py", "--max-memory-restart", "60M"]);
    let lines = home.follow("app");
    assert_eq!(lines.next(), "begun");
    assert_eq!(lines.next(), "begun");
}
