//! `maitred monit` and `ls --watch` in a real terminal: tmux's.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::place::{maitred, tool};
use crate::harness::{PATIENCE, Process, beside_others, children_of, gone_within};
use crate::home::{Home, NODE_SERVER};

/// A terminal with a shell in it.
struct Terminal<'a> {
    home: &'a Home,
}

impl<'a> Terminal<'a> {
    fn new(home: &'a Home, width: u16, height: u16) -> Self {
        let terminal = Self { home };
        let (width, height) = (width.to_string(), height.to_string());
        let size = ["-x", &width, "-y", &height];
        // Two words are run as they are, without another shell above.
        terminal.does(&[&["new-session", "-d"], &size[..], &["sh", "-i"]].concat());
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let mut command: Command = self.home.command(&[]);
        let environment: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        command = Command::new(tool("tmux"));
        let command = command
            .envs(environment)
            .env_remove("NO_COLOR")
            .env_remove("TMUX")
            .env("SHELL", "/bin/sh")
            .env("PS1", "$ ")
            .env("LANG", "C.UTF-8")
            .env("TERM", "xterm")
            .current_dir(self.home.folder())
            .args(["-f", "/dev/null", "-S", "tmux"])
            .args(args);
        command.output().unwrap()
    }

    fn does(&self, args: &[&str]) -> String {
        let output = self.tmux(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types a line.
    fn enters(&self, line: &str) {
        self.does(&["send-keys", "-l", line]);
        self.does(&["send-keys", "Enter"]);
    }

    fn monit(&self) {
        self.enters(&format!("{} monit", maitred().display()));
        self.until(|screen| screen.contains("instances online"));
    }

    fn presses(&self, keys: &[&str]) {
        self.does(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        self.does(&["capture-pane", "-p"])
    }

    /// The screen, when it is so.
    fn until(&self, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{screen}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Answers the question that a key makes.
    fn orders(&self, key: &str, question: &str, done: &str) {
        self.presses(&[key]);
        self.until(|screen| screen.contains(question));
        self.presses(&["y"]);
        self.until(|screen| screen.contains(done));
    }

    fn shell(&self) -> i32 {
        let pid = self.does(&["display-message", "-p", "#{pane_pid}"]);
        pid.trim().parse().unwrap()
    }

    /// The modes of the terminal, as `stty` knows them.
    fn modes(&self, file: &str) -> String {
        self.enters(&format!("stty -g > {file}.new && mv {file}.new {file}"));
        let path = self.home.folder().join(file);
        self.until(|_| path.exists());
        fs::read_to_string(path).unwrap()
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn line_of<'a>(screen: &'a str, name: &str) -> &'a str {
    let mut lines = screen.lines();
    lines
        .find(|line| line.trim_start().starts_with(name))
        .unwrap_or_else(|| panic!("{name} is missing in {screen}"))
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn keys_order_what_commands_do_after_a_question() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("api.js", NODE_SERVER);
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "api.js", "-i", "2"]);
    home.does(&["start", "job.sh"]);
    let terminal = Terminal::new(&home, 80, 24);
    terminal.monit();
    let screen = terminal.until(|screen| screen.contains("|api"));
    assert!(line_of(&screen, "api").contains("2 online"), "{screen}");
    for title in [
        "pid", "status", "cpu", "mem", "up", "restarts", "open", "waiting",
    ] {
        assert!(line_of(&screen, "name").contains(title), "{screen}");
    }
    assert!(screen.contains("r restart"), "{screen}");

    let [first, second, _] = home.pids()[..] else {
        panic!("three run");
    };
    terminal.presses(&["Down"]);
    terminal.orders("r", "restart api-0?", "api-0: restarted");
    let [new, same, _] = home.pids()[..] else {
        panic!("three run");
    };
    assert!(new != first && same == second);
    // Another key than y does nothing.
    terminal.presses(&["s"]);
    terminal.until(|screen| screen.contains("stop api-0?"));
    terminal.presses(&["n"]);
    terminal.until(|screen| screen.contains("nothing done"));
    assert_eq!(home.pids()[..2], [new, same]);
    terminal.presses(&["Up"]);
    terminal.orders("l", "reload api (all 2 instances)?", "api: reloaded");
    terminal.orders("+", "scale api from 2 to 3?", "api: scaled from 2 to 3");
    terminal.until(|screen| screen.contains("3 online"));
    assert_eq!(home.pids().len(), 4);
    terminal.orders("-", "scale api from 3 to 2?", "api: scaled from 3 to 2");
    terminal.presses(&["End"]);
    terminal.until(|screen| screen.contains("log job"));
    terminal.orders("s", "stop job?", "job: stopped");
    terminal.until(|screen| line_of(screen, "job").contains("stopped"));
    assert_eq!(home.statuses().last().unwrap().1, "stopped");
}

#[test]
fn what_is_killed_shows_and_so_does_what_is_started_and_deleted() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "echo up; exec sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "a"]);
    let terminal = Terminal::new(&home, 80, 24);
    terminal.monit();
    let pid = home.pids()[0];
    terminal.until(|screen| line_of(screen, "a ").contains(&format!(" {pid} ")));
    kill(pid, Signal::KILL);
    let screen = terminal.until(|screen| screen.contains("was killed by SIGKILL"));
    assert!(screen.contains("log a"), "{screen}");
    terminal.until(|screen| {
        let line = line_of(screen, "a ");
        line.contains("online") && !line.contains(&format!(" {pid} "))
    });
    kill(home.supervisor("a"), Signal::KILL);
    terminal.until(|screen| screen.contains("the supervisor was killed by SIGKILL"));
    terminal.until(|screen| line_of(screen, "a ").contains("online"));
    home.does(&["start", "job.sh", "-n", "later"]);
    terminal.until(|screen| screen.contains("later"));
    home.does(&["delete", "all"]);
    terminal.until(|screen| screen.contains("no apps"));
}

#[test]
fn it_fits_any_size_and_follows_a_resize() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "echo up; exec sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "app", "-i", "5"]);
    let terminal = Terminal::new(&home, 80, 24);
    terminal.monit();
    for (width, height, seen) in [
        ("40", "10", "log app"),
        ("30", "5", "5 online"),
        ("10", "2", "app"),
        ("1", "1", "↑"),
        ("120", "40", "log app"),
        ("80", "24", "q quit"),
    ] {
        terminal.does(&["resize-window", "-x", width, "-y", height]);
        let screen = terminal.until(|screen| screen.contains(seen));
        let height: usize = height.parse().unwrap();
        assert!(screen.lines().count() <= height, "{screen}");
    }
    terminal.presses(&["q"]);
    terminal.until(|screen| !screen.contains("log app"));
}

/// Something that ends the monitor.
type End = dyn Fn(&Terminal<'_>);

#[test]
fn the_terminal_is_given_back_as_it_was() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh"]);
    let terminal = Terminal::new(&home, 80, 24);
    let before = terminal.modes("before");
    let to_monit = |signal| {
        move |terminal: &Terminal<'_>| {
            let [monit] = children_of(terminal.shell())[..] else {
                panic!("the shell runs one program");
            };
            kill(monit, signal);
        }
    };
    let pressed = |key: &'static str| move |terminal: &Terminal<'_>| terminal.presses(&[key]);
    let ends: [(&str, &End); 6] = [
        ("0", &pressed("q")),
        ("0", &pressed("C-c")),
        ("143", &to_monit(Signal::TERM)),
        ("129", &to_monit(Signal::HUP)),
        ("130", &to_monit(Signal::INT)),
        ("131", &to_monit(Signal::QUIT)),
    ];
    for (at, (code, end)) in ends.iter().enumerate() {
        terminal.enters(r"printf '\033[H\033[2J'; echo what stood there");
        terminal.monit();
        let shown = terminal.does(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(shown.trim(), "1 0", "{at}");
        end(&terminal);
        terminal.until(|screen| !screen.contains("q quit"));
        terminal.enters(&format!("echo ended {at} with $?"));
        let screen = terminal.until(|screen| screen.contains(&format!("ended {at} with {code}")));
        assert!(screen.contains("what stood there"), "{screen}");
        assert_eq!(terminal.modes(&format!("after-{at}")), before, "{at}");
        let shown = terminal.does(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(shown.trim(), "0 1", "{at}");
    }
}

/// As when an ssh connection breaks: nothing is left that turns in a circle.
#[test]
fn it_ends_with_its_terminal() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh"]);
    let terminal = Terminal::new(&home, 80, 24);
    terminal.monit();
    let [monit] = children_of(terminal.shell())[..] else {
        panic!("the shell runs one program");
    };
    let monit = Process::find(monit).unwrap();
    drop(terminal);
    assert_eq!(gone_within(PATIENCE, &[monit]), []);
}

#[test]
fn escape_sequences_stay_text_and_colours_can_be_refused() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "job.sh",
        "printf 'a\\033[2J\\033]0;title\\007\\033[31mb\\n'; exec sleep 1000\n",
    );
    home.does(&["start", "job.sh"]);
    let terminal = Terminal::new(&home, 80, 24);
    terminal.monit();
    let screen = terminal.until(|screen| screen.contains("x1b[2J"));
    assert!(screen.contains("a\\x1b[2J\\x1b]0;title\\x07b"), "{screen}");
    let title = terminal.does(&["display-message", "-p", "#{pane_title}"]);
    assert!(!title.contains("title"), "{title}");
    let coloured = |screen: &str| screen.contains("\x1b[38;5;") || screen.contains("\x1b[32m");
    let screen = terminal.does(&["capture-pane", "-p", "-e"]);
    assert!(coloured(&screen), "{screen:?}");
    terminal.presses(&["q"]);
    terminal.until(|screen| !screen.contains("q quit"));
    terminal.enters("export NO_COLOR=1");
    terminal.monit();
    let plain = terminal.does(&["capture-pane", "-p", "-e"]);
    assert!(!coloured(&plain), "{plain:?}");
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let home = Home::new();
    let said = home.fails(&["monit"]);
    assert!(said.contains("needs a terminal"), "{said}");
    assert!(said.contains("`maitred ls`"), "{said}");
}

/// The list is written over; what does not fit is counted.
#[test]
fn a_watched_list_shows_what_changes() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "a", "-x", "-i", "3"]);
    let terminal = Terminal::new(&home, 100, 10);
    terminal.enters(&format!("{} ls --watch", maitred().display()));
    let screen = terminal.until(|screen| screen.matches("online").count() == 3);
    assert!(screen.starts_with("id  name"), "{screen}");
    home.does(&["stop", "a"]);
    let screen = terminal.until(|screen| screen.matches("stopped").count() == 3);
    assert!(!screen.contains("online"), "{screen}");
    home.does(&["scale", "a", "20"]);
    terminal.until(|screen| screen.contains("… 13 more"));
    home.does(&["delete", "a"]);
    let screen = terminal.until(|screen| !screen.contains("more"));
    assert_eq!(screen.trim().lines().count(), 1, "{screen}");
    terminal.presses(&["C-c"]);
    // What is typed before the shell asks stands in front of what it asks.
    terminal.until(|screen| screen.lines().any(|line| line.starts_with('$')));
    terminal.enters("echo it goes on");
    terminal.until(|screen| screen.contains("\nit goes on"));
}

/// Where nobody looks there are tables below one another, without a control character, until the reader
/// has gone.
#[test]
fn a_watched_list_is_plain_where_it_is_read_by_a_program() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    home.does(&["start", "job.sh"]);
    let mut list = home.command(&["ls", "--watch=1"]);
    let mut list = list.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(list.stdout.take().unwrap()).lines();
    let lines: Vec<_> = lines.take(5).map(Result::unwrap).collect();
    let begins = |at: usize, what: &str| lines[at].trim_start().starts_with(what);
    assert!(begins(0, "id  name") && begins(3, "id  name"), "{lines:?}");
    assert!(
        begins(1, "0  job") && lines[2].is_empty() && begins(4, "0  job"),
        "{lines:?}"
    );
    assert!(list.wait().unwrap().success());
}
