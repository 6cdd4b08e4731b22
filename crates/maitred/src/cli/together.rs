//! Doing one thing with all apps that are meant, side by side, and telling what comes of it.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, bail};

use super::order::{self, Order};
use super::{Manner, list};
use crate::apps::{self, Action, Known, OfApp, Selected};
use config::{self, App, ConfigFile};
use home::Home;
use supervisor::output::{Sentences, has_colours};
use telemetry::events::Event;
use telemetry::ids::InstanceId;

/// The apps that the targets mean.
///
/// # Errors
/// If a target means nothing.
pub(super) fn selected(home: &Home, targets: &[String]) -> anyhow::Result<Vec<Selected>> {
    apps::select(&apps::all(home)?, targets)
}

/// The same where a target may be a config file, or "-" for JSON from standard input: then its own
/// apps are meant, by name and namespace, and those of them that were never started are passed
/// over.
///
/// # Errors
/// If a target means nothing, or a file is wrong.
pub(super) fn selected_with_files(
    home: &Home,
    targets: &[String],
    only: &[String],
    manner: &Manner,
) -> anyhow::Result<Vec<Selected>> {
    let known = apps::all(home)?;
    let mut selected = Vec::new();
    for target in targets {
        let found = if target == "-" {
            let (name, text) = ("standard input", read_input()?);
            let here = config::here()?;
            of_config(
                &known,
                config::load_json(name, &text, &here)?,
                name,
                only,
                manner,
            )?
        } else if means_file(&known, target) {
            let file = config::load(Path::new(target), None)?;
            of_config(&known, file, target, only, manner)?
        } else {
            apps::select(&known, std::slice::from_ref(target))?
        };
        if found.is_empty() && target == "all" {
            bail!(NO_APPS);
        }
        for one in found {
            apps::add_selected(&mut selected, one);
        }
    }
    Ok(selected)
}

/// Whether a target stands for a config file, and not for an app that is called so.
pub(super) fn means_file(known: &[Known], target: &str) -> bool {
    let path = Path::new(target);
    let called = || known.iter().any(|it| it.record.app.name == target);
    config::is_config(path) && (path.exists() || !called())
}

/// What there is to read on standard input.
///
/// # Errors
/// If it is no text.
pub(super) fn read_input() -> anyhow::Result<String> {
    std::io::read_to_string(std::io::stdin().lock()).context("reading standard input")
}

fn of_config(
    known: &[Known],
    file: ConfigFile,
    name: &str,
    only: &[String],
    manner: &Manner,
) -> anyhow::Result<Vec<Selected>> {
    if file.apps.is_empty() {
        // There is nothing else in it that one could be warned of.
        file.warnings.iter().for_each(|it| say(manner, it));
        return Ok(Vec::new());
    }
    let all: Vec<_> = file.apps.iter().filter_map(config::called).collect();
    let is_meant = |(name, _): &&(String, String)| only.is_empty() || only.contains(name);
    let called: Vec<_> = all.iter().filter(is_meant).collect();
    if called.is_empty() && !only.is_empty() {
        let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
        bail!(
            "{name}: no app is called {}; its apps are: {}",
            only.join(", "),
            names.join(", ")
        );
    }
    let found: Vec<_> = known
        .iter()
        .filter(|known| {
            let app = &known.record.app;
            let is_app = |(name, namespace): &&(String, String)| {
                *name == app.name && *namespace == app.namespace
            };
            called.iter().any(is_app)
        })
        .map(|known| Selected {
            known: known.clone(),
            ids: None,
        })
        .collect();
    if found.is_empty() {
        bail!("{name}: none of its apps is in the list; `maitred start {name}` adds them");
    }
    Ok(found)
}

const NO_APPS: &str = "there are no apps";

/// Does the same with all of them, and shows the list in the end. The exit code.
pub(super) fn act(
    home: &Home,
    selected: &[Selected],
    action: &Action,
    done: &str,
    manner: &Manner,
) -> anyhow::Result<u8> {
    let code = each(home, selected, action, done, manner);
    show_list(home, manner)?;
    Ok(code)
}

/// Does the same with all of them. The exit code.
pub(super) fn each(
    home: &Home,
    selected: &[Selected],
    action: &Action,
    done: &str,
    manner: &Manner,
) -> u8 {
    let own: Vec<_> = selected.iter().map(|one| &one.known.record.app).collect();
    let order = match action {
        Action::Start | Action::Stop | Action::Delete => Order::among(&own),
        _ => Order::none(selected.len()),
    };
    let actions = vec![action.clone(); selected.len()];
    in_order(home, selected, &order, &actions, done, manner)
}

/// Does something with each of them, in an order. The exit code.
pub(super) fn in_order(
    home: &Home,
    selected: &[Selected],
    order: &Order,
    actions: &[Action],
    done: &str,
    manner: &Manner,
) -> u8 {
    if selected.is_empty() {
        complain(&NO_APPS);
        return 1;
    }
    let told = Mutex::new(());
    let act = |number: usize| {
        let (one, action) = (selected.get(number)?, actions.get(number)?);
        let mut progress = progress(&one.known.record.app, &told, manner);
        Some(one.act(home, action, &mut progress))
    };
    let mut code = 0;
    let results = match actions.first() {
        Some(Action::Stop | Action::Delete) => order.backward(&act),
        _ => {
            let begin = |number: usize| {
                let result = act(number);
                let error = result.as_ref().and_then(|result| result.as_ref().err());
                let fault = error.map(order::reason);
                (result, fault)
            };
            let known = |number: usize| Some(selected.get(number)?.known.clone());
            let worked = order.forward(&known, &begin);
            let held = if done == "runs" { "started" } else { done };
            code = order.complain(&worked.culprits, held);
            worked.results
        }
    };
    for (selected, result) in selected.iter().zip(results) {
        let name = &selected.known.record.app.name;
        match result.flatten() {
            Some(Ok(())) => say(manner, &format!("{name}: {done}")),
            Some(Err(error)) => {
                complain_of(&error);
                code = 1;
            }
            None => {}
        }
    }
    code
}

/// Shows all apps, as pm2 does after each command.
pub(super) fn show_list(home: &Home, manner: &Manner) -> anyhow::Result<()> {
    if !manner.silent {
        list::show(home, &apps::all(home)?, list::USUAL, manner)?;
    }
    Ok(())
}

/// Writes to standard output what was asked for.
///
/// # Errors
/// If it cannot be written; that the reader has gone does not matter.
pub(super) fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

/// A sentence for the user, on standard error so that what was asked for stands alone.
pub(super) fn say(manner: &Manner, sentence: &str) {
    if !manner.silent {
        eprintln!("maitred: {}", without_numbers(sentence));
    }
}

/// What went wrong, on standard error; each line says who speaks.
pub(super) fn complain(fault: &impl std::fmt::Display) {
    for line in format!("{fault:#}").lines() {
        eprintln!("maitred: {}", without_numbers(line));
    }
}

/// What went wrong, on standard error; where it is of an app, each line names that.
pub(super) fn complain_of(error: &anyhow::Error) {
    let outermost = error.to_string();
    let app = error.downcast_ref().filter(|OfApp(app)| *app == outermost);
    if app.is_none() {
        return complain(&format!("{error:#}"));
    }
    let reasons: Vec<_> = error.chain().skip(1).map(ToString::to_string).collect();
    for line in reasons.join(": ").lines() {
        complain(&format!("{outermost}: {line}"));
    }
}

/// The same without the numbers that Rust puts behind the system's reasons: "(os error 2)".
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                plain.push_str(rest);
            }
            _ => plain.extend([" (os error ", part]),
        }
    }
    plain
}

/// A number that may be below 0.
///
/// # Errors
/// If it is none; says so.
pub(super) fn whole_number(text: &str) -> Result<i64, String> {
    let number = text.parse();
    number.map_err(|_| format!("expected a whole number, not \"{}\"", text.escape_debug()))
}

/// The number of an instance, as the list has it.
///
/// # Errors
/// If it is none; says what is expected.
pub(super) fn instance_number(text: &str) -> Result<InstanceId, String> {
    text.parse().map(InstanceId).map_err(|_| {
        format!(
            "expected the number of an instance, as `maitred ls` shows it, not \"{}\"",
            text.escape_debug()
        )
    })
}

/// Tells what happens on the way.
pub(super) fn progress<'a>(
    app: &App,
    told: &'a Mutex<()>,
    manner: &Manner,
) -> impl FnMut(Event) + 'a {
    let mut sentences = Sentences::new(app, colours(manner, &std::io::stderr()));
    let silent = manner.silent;
    move |event| {
        if let Some(sentence) = sentences.of(&event)
            && !silent
        {
            // Many speak at the same time; each sentence stays whole.
            let _guard = told.lock();
            eprint!("{sentence}");
        }
    }
}

/// Whether colours are wanted there.
pub(super) fn colours(manner: &Manner, stream: &impl IsTerminal) -> bool {
    has_colours(stream) && !manner.no_color
}

/// An app by its name and namespace.
pub(super) fn find<'a>(known: &'a [Known], app: &App) -> Option<&'a Known> {
    known.iter().find(|known| {
        known.record.app.name == app.name && known.record.app.namespace == app.namespace
    })
}

#[cfg(test)]
mod tests {
    use super::without_numbers;

    #[test]
    fn reasons_have_no_numbers() {
        for (text, plain) in [
            ("it: No such file (os error 2)", "it: No such file"),
            ("a (os error 2), b (os error 13).", "a, b."),
            ("a (os error x) (os error", "a (os error x) (os error"),
            ("", ""),
        ] {
            assert_eq!(without_numbers(text), plain);
        }
    }
}
