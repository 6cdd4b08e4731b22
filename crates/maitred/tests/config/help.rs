//! All help texts, in a file: a change of wording shows in review.

use std::fmt::Write;

use crate::harness::Place;
use crate::snapshot::is_as_kept;

#[test]
fn all_help_is_as_the_snapshot_has_it() {
    let place = Place::new();
    let help = |args: &[&str]| {
        let ended = place.maitred(args);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.errors);
        ended.output
    };
    let all = help(&["--help"]);
    let mut text = format!("$ maitred --help\n{all}");
    // Commands stand between their heading and the next empty line, indented by two.
    let commands = all.split("Commands:\n").nth(1).unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let mut count = 0;
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        if command == "help" {
            continue;
        }
        count += 1;
        for flag in ["-h", "--help"] {
            let shown = help(&[command, flag]);
            let _ = write!(text, "\n$ maitred {command} {flag}\n{shown}");
        }
    }
    assert!(count > 30, "{count} commands");
    is_as_kept("help.txt", &text, "help");
}
