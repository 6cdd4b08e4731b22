//! What the workers print: untouched for a single program, whole lines with a name for several.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::thread;

use crate::harness::{Setup, beside_others};

/// With one instance and no restarts, maitred can stand before any command of a pipeline.
#[test]
fn a_single_program_has_its_input_and_output_untouched() {
    let _turn = beside_others();
    let setup = Setup::program(
        "cat",
        "#!/bin/sh\necho \"no end of line\\c\" >&2\nexec cat\n",
    );
    let mut run = setup
        .instances(1)
        .flag("--no-autorestart")
        .stdin(Stdio::piped())
        .start();

    // Every byte there is, in an order without pattern, and far more than a pipe holds.
    let mut state = 1_u32;
    let bytes: Vec<u8> = (0..1_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let mut input = run.stdin();
    let sent = bytes.clone();
    let writer = thread::spawn(move || input.write_all(&sent).unwrap());

    assert_eq!(run.exit_code(), 0);
    writer.join().unwrap();
    let (output, errors) = run.everything_printed();
    assert!(
        output == bytes,
        "{} of {} bytes came through",
        output.len(),
        bytes.len()
    );
    assert_eq!(String::from_utf8_lossy(&errors), "no end of line");
}

#[test]
fn a_single_program_may_read_the_terminal() {
    let _turn = beside_others();
    let text = "#!/bin/sh\necho ready\nread line\necho \"read: $line\"\nexit 4\n";
    let setup = Setup::program("ask", text)
        .instances(1)
        .flag("--no-autorestart");
    let mut run = setup.terminal().start();
    run.output("the program", |text| text.contains("ready"));
    run.type_in(b"good evening\n");
    assert_eq!(run.exit_code(), 4, "{}", run.story());
    run.output("the answer", |text| text.contains("read: good evening"));
}

#[test]
fn a_single_program_gets_the_terminals_interrupt_once() {
    let _turn = beside_others();
    let text = "import signal, sys, time
count = 0
def interrupted(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, interrupted)
print('ready', flush=True)
while count == 0:
    time.sleep(0.01)
# Another one would come now.
time.sleep(0.3)
print(f'interrupted {count} times', flush=True)
sys.exit(5)
";
    let setup = Setup::program("wait.py", text)
        .instances(1)
        .flag("--no-autorestart");
    let mut run = setup.terminal().start();
    run.output("the program", |text| text.contains("ready"));
    run.type_in(b"\x03");
    assert_eq!(run.exit_code(), 5, "{}", run.story());
    run.output("the count", |text| text.contains("interrupted 1 times"));
}

const LINES: usize = 2000;

/// Writes its lines to both outputs in pieces that end anywhere, and the last without an end.
const TALKER: &str = r#"
import os
instance = os.environ["NODE_APP_INSTANCE"]
lines = [f"instance {instance} line {n} {'x' * (n * 37 % 300)}" for n in range(2000)]
lines[1000] += "y" * 20000
text = "\n".join(lines).encode()
sizes = [1, 7, 61, 4096, 3, 5000, 250]
start = turn = 0
while start < len(text):
    for out in 1, 2:
        piece = text[start:start + sizes[turn % len(sizes)]]
        while piece:
            piece = piece[os.write(out, piece):]
    start += sizes[turn % len(sizes)]
    turn += 1
"#;

#[test]
fn lines_of_two_workers_carry_a_name_and_never_mix() {
    let _turn = beside_others();
    let setup = Setup::program("talk.py", TALKER)
        .instances(2)
        .option("--name", "web");
    let mut run = setup.flag("--no-autorestart").start();
    assert_eq!(run.exit_code(), 0);

    let (output, errors) = run.everything_printed();
    for (stream, bytes) in [("standard output", output), ("standard error", errors)] {
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.ends_with('\n'), "{stream} ends with a whole line");
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for line in text.lines() {
            // Beside the workers' lines stand maitred's own.
            let Some((name, said)) = line.split_once(" | ") else {
                continue;
            };
            let Some(instance) = name.strip_prefix("web-") else {
                continue;
            };
            let next = seen.entry(instance).or_default();
            assert_eq!(said, expected(instance, *next), "{stream}");
            *next += 1;
        }
        assert_eq!(
            seen,
            BTreeMap::from([("0", LINES), ("1", LINES)]),
            "{stream}"
        );
    }
}

fn expected(instance: &str, number: usize) -> String {
    let mut line = format!("instance {instance} line {number} ");
    line += &"x".repeat(number * 37 % 300);
    if number == 1000 {
        write!(line, "{:y<20000}", "").unwrap();
    }
    line
}

#[test]
fn names_are_coloured_on_a_terminal_only() {
    const ESCAPE: char = '\x1b';
    let _turn = beside_others();
    let program = || {
        Setup::program("greet.sh", "echo hello\n")
            .instances(2)
            .flag("--no-autorestart")
    };

    let mut piped = program().start();
    assert_eq!(piped.exit_code(), 0);
    let (output, errors) = piped.everything_printed();
    assert!(
        ![output, errors].concat().contains(&(ESCAPE as u8)),
        "{}",
        piped.story()
    );

    let mut shown = program().terminal().start();
    assert_eq!(shown.exit_code(), 0);
    shown.output("colour", |text| {
        text.contains(ESCAPE) && text.matches("hello").count() == 2
    });

    let mut plain = program().env("NO_COLOR", "1").terminal().start();
    assert_eq!(plain.exit_code(), 0);
    let text = plain.output("both", |text| text.matches("hello").count() == 2);
    assert!(!text.contains(ESCAPE), "{text:?}");
}
