//! Screens of every size, and of apps in every state.

use std::path::Path;
use std::time::Duration;

use super::super::keys::Key;
use super::super::state::Does as Wants;
use super::*;
use crate::apps::Known;
use crate::cli::live::sample::{AppSample, Sample};
use crate::cli::usage::Usage;
use home::control::{InstanceView, ListenerView};
use home::{AppFolder, Kept, Record, Rest};
use telemetry::ids::{Instance, InstanceId};

/// An app with so many instances, all online.
fn app(name: &str, count: u32) -> AppSample {
    let script = r#"{"name": "x", "script": "/bin/sh"}"#;
    let mut file = config::load_json("test", script, Path::new("/")).unwrap();
    let surroundings = config::Surroundings {
        folder: Path::new("/"),
        inherited: &config::Environment::from([("PATH".into(), "/usr/bin:/bin".into())]),
        env_name: None,
        processors: 4,
    };
    let entry = file.apps.remove(0);
    let mut app = config::resolve(entry, &surroundings).unwrap().app;
    app.name = name.to_owned();
    let instances: Vec<_> = (0..count)
        .map(|number| Kept::new(InstanceId(number + 10), Instance(number), Rest::Runs))
        .collect();
    let view = |kept: &Kept| InstanceView {
        id: kept.id,
        instance: kept.instance,
        state: Does::Online,
        pid: Some(1000 + i32::try_from(kept.instance.0).unwrap()),
        since: Some(0),
        waits: false,
        waits_for: None,
        blocked: None,
        restarts: 2,
        unstable: 0,
        exit: None,
        out_of_memory: None,
        bound: None,
        not_started: None,
        last_run: None,
        unhealthy: None,
        not_preloaded: None,
        open: Some(3),
        given: Some(100),
        failed: None,
    };
    let usage = Usage {
        memory: 50 << 20,
        cpu: 12.5,
    };
    AppSample {
        instances: instances.iter().map(|kept| (view(kept), usage)).collect(),
        listeners: vec![ListenerView {
            address: "127.0.0.1:80".into(),
            workers: 1,
            foreign: None,
            waiting: 7,
        }],
        version: String::new(),
        is_to_run: true,
        known: Known {
            folder: AppFolder::new(format!("/home/apps/{name}").into()),
            record: Record {
                app,
                created_at: 0,
                instances,
            },
        },
    }
}

fn state(apps: Vec<AppSample>) -> State {
    let mut state = State::new(true);
    add(&mut state, 1, apps);
    state
}

fn add(state: &mut State, second: u64, apps: Vec<AppSample>) {
    state.sample(Sample {
        at: Duration::from_secs(second),
        now: 65_000,
        apps,
        faults: Vec::new(),
    });
}

fn drawn(state: &State, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    render(state, area, &mut buffer);
    buffer
}

/// The lines of a screen.
fn screen(state: &State, width: u16, height: u16) -> Vec<String> {
    let buffer = drawn(state, width, height);
    (0..height)
        .map(|y| {
            let cells = (0..width).map(|x| buffer[(x, y)].symbol());
            cells.collect::<String>().trim_end().to_owned()
        })
        .collect()
}

fn press(state: &mut State, keys: &str) -> Option<Wants> {
    let mut wants = None;
    for key in keys.chars() {
        wants = state.key(match key {
            '↓' => Key::Down,
            '↑' => Key::Up,
            key => Key::Char(key),
        });
    }
    wants
}

#[test]
fn a_usual_terminal_shows_all_of_it() {
    let mut state = state(vec![app("api", 2), app("web", 1)]);
    let mut later = app("api", 2);
    later.instances[0].0.given = Some(130);
    later.instances[1].0.blocked = Some(12_000);
    add(&mut state, 3, vec![later, app("web", 1)]);
    for line in 0..40 {
        state.log_line(format!("10|api | line {line}"));
    }
    let lines = screen(&state, 80, 24);
    let expected = [
        "maitred  2 apps, 3 of 3 instances online",
        "name     id   pid  status          cpu      mem  up  restarts  open  waiting",
        "api       -     -  1 blocked     25.0%  100.0mb   -         4     6        7",
        "  api-0  10  1000  online        12.5%   50.0mb  1m         2     3        -",
        "  api-1  11  1001  blocked 12 s  12.5%   50.0mb  1m         2     3        -",
        "web      10  1000  online        12.5%   50.0mb  1m         2     3        7",
        "api: CPU 25.0%                          connections/s 15",
    ];
    assert_eq!(lines[..expected.len()], expected);
    assert_eq!(lines[8].find("▄▄"), Some(37), "{lines:#?}");
    assert!(lines[8].ends_with('█'), "{lines:#?}");
    assert_eq!(lines[9], "log api");
    assert_eq!(lines[10], "10|api | line 27");
    assert_eq!(lines[22], "10|api | line 39");
    assert_eq!(lines[23], KEYS);
}

#[test]
fn any_size_and_any_state_can_be_drawn() {
    let mut many: Vec<_> = (0..30)
        .map(|at| app(&format!("app-{at}"), at % 4))
        .collect();
    many[3].instances[1].0.state = Does::Errored;
    many[3].instances[1].0.pid = None;
    let mut odd = app("\u{1b}[2J東京\u{202e}\u{7}", 3);
    odd.instances[0].0.restarts = u32::MAX;
    odd.instances[0].0.open = Some(u64::MAX / 8);
    odd.instances[0].1.cpu = f64::INFINITY;
    odd.instances[0].1.memory = u64::MAX / 8;
    many.push(odd);
    let mut states = vec![State::new(true), state(Vec::new()), state(many.clone())];
    let mut at_the_end = state(many);
    at_the_end.log_line("\u{1b}]0;x\u{7}東京".repeat(50));
    press(&mut at_the_end, &"↓".repeat(300));
    press(&mut at_the_end, "r");
    states.push(at_the_end);
    for state in &states {
        for width in (0..40).chain([79, 80, 200]) {
            for height in (0..30).chain([60]) {
                let buffer = drawn(state, width, height);
                let control = |text: &str| text.chars().any(char::is_control);
                assert!(!buffer.content.iter().any(|cell| control(cell.symbol())));
            }
        }
    }
    // Where the buffer is smaller than the area, as in the moment of a resize.
    let mut buffer = Buffer::empty(Rect::new(0, 0, 10, 3));
    render(&states[3], Rect::new(0, 0, 80, 24), &mut buffer);
}

#[test]
fn what_is_chosen_is_seen_at_any_height() {
    let mut state = state((0..30).map(|at| app(&format!("app-{at}"), 1)).collect());
    press(&mut state, &"↓".repeat(20));
    for height in 2..40 {
        let buffer = drawn(&state, 60, height);
        let reversed = |y: u16| buffer[(0, y)].modifier.contains(Modifier::REVERSED);
        let chosen: Vec<_> = (0..height).filter(|y| reversed(*y)).collect();
        assert_eq!(chosen.len(), 1, "{height}");
        let lines = screen(&state, 60, height);
        let line = &lines[usize::from(chosen[0])];
        assert!(line.starts_with("app-20 "), "{height}: {line}");
    }
}

#[test]
fn without_colours_there_are_none() {
    let colours = |state: &State| {
        let buffer = drawn(state, 80, 24);
        let coloured = |cell: &&ratatui::buffer::Cell| cell.fg != Color::Reset;
        buffer.content.iter().filter(coloured).count()
    };
    let mut state = state(vec![app("api", 3)]);
    assert!(colours(&state) > 0);
    state.colours = false;
    assert_eq!(colours(&state), 0);
}

#[test]
fn an_order_is_asked_for_before_it_is_given() {
    let mut state = state(vec![app("api", 2), app("web", 1)]);
    let asked = |state: &State| screen(state, 80, 24)[23].clone();
    for (keys, question) in [
        (
            "r",
            "restart api (all 2 instances)? y = yes, any other key = no",
        ),
        (
            "l",
            "reload api (all 2 instances)? y = yes, any other key = no",
        ),
        ("↓s", "stop api-0? y = yes, any other key = no"),
        ("+", "scale api from 2 to 3? y = yes, any other key = no"),
        ("-", "scale api from 2 to 1? y = yes, any other key = no"),
        ("↓↓r", "restart web? y = yes, any other key = no"),
    ] {
        assert!(press(&mut state, keys).is_none());
        assert_eq!(asked(&state), question);
        assert!(press(&mut state, "n").is_none());
        assert_eq!(asked(&state), "nothing done");
    }
    assert!(press(&mut state, "-").is_none());
    assert_eq!(asked(&state), "the last instance stays; s stops it");
    assert!(press(&mut state, "y").is_none(), "nothing was asked");
    let Some(Wants::Order(order)) = press(&mut state, "↑ry") else {
        panic!("an order was given");
    };
    assert_eq!(order.instance, Some((InstanceId(11), Instance(1))));
    assert_eq!(order.known.record.app.name, "api");
    assert_eq!(asked(&state), KEYS);
    assert!(matches!(press(&mut state, "q"), Some(Wants::Quit)));
    press(&mut state, "r");
    assert!(matches!(state.key(Key::Interrupt), Some(Wants::Quit)));
}

#[test]
fn what_is_chosen_stays_chosen_while_others_come_and_go() {
    let mut state = state(vec![app("api", 2), app("web", 2)]);
    press(&mut state, "↓↓↓↓↓");
    let chosen = |state: &State| {
        let lines = screen(state, 80, 24);
        lines[state.at() + 2]
            .split("  ")
            .find(|it| !it.is_empty())
            .map(str::to_owned)
    };
    assert_eq!(chosen(&state).as_deref(), Some("web-1"));
    add(
        &mut state,
        2,
        vec![app("a", 1), app("api", 3), app("web", 2)],
    );
    assert_eq!(chosen(&state).as_deref(), Some("web-1"));
    // Its instance is gone: the app is what is left of it.
    add(&mut state, 3, vec![app("a", 1), app("web", 1)]);
    assert_eq!(chosen(&state).as_deref(), Some("web"));
    add(&mut state, 4, vec![app("a", 1)]);
    assert_eq!(chosen(&state).as_deref(), Some("a"));
    add(&mut state, 5, Vec::new());
    assert!(screen(&state, 80, 24).contains(&"no apps; `maitred start` adds one".to_owned()));
    assert!(press(&mut state, "r↓y").is_none());
}
