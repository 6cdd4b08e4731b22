//! What happens to apps, for the dashboard.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use super::super::{shown, together};
use crate::apps::{Following, Known, News};
use dashboard::{Board, Happened, plain};
use home::control::Told;
use home::{Home, now_ms};
use supervisor::output::Sentences;

/// What has happened before the dashboard was started is told of so many milliseconds, as far as supervisors
/// know it still.
const BEFORE: u64 = 600_000;

/// Follows all apps in a thread of its own.
///
/// # Errors
/// If the system refuses a thread, or a pipe.
pub(super) fn follow(home: Home, board: Arc<Board>) -> io::Result<()> {
    // Nobody closes it: the dashboard follows until it ends.
    let (until, keep) = io::pipe()?;
    let follow = move || {
        let _keep = keep;
        if let Err(error) = follow_all(&home, &board, &until) {
            together::complain(&format!("events are not shown: {error:#}"));
        }
    };
    let thread = thread::Builder::new().name("events".into());
    thread.spawn(follow)?;
    Ok(())
}

fn follow_all(home: &Home, board: &Board, until: &io::PipeReader) -> anyhow::Result<()> {
    let targets = ["all".to_owned()];
    let mut following = Following::new(home, &targets, now_ms().saturating_sub(BEFORE))?;
    let mut sentences = BTreeMap::new();
    let (mut news, mut soon) = following.look()?;
    loop {
        for one in news.drain(..) {
            if let Some(happened) = happened(&mut sentences, one) {
                board.happened(happened);
            }
        }
        let Some((told, looks)) = following.wait(until.as_fd(), soon)? else {
            return Ok(());
        };
        news = told;
        soon = false;
        if looks {
            let (more, again) = following.look()?;
            news.extend(more);
            soon = again;
        }
    }
}

/// What is shown of it, if anything is. What was said of each app is remembered: what it says once it says
/// once here, too.
fn happened(sentences: &mut BTreeMap<PathBuf, Sentences>, news: News) -> Option<Happened> {
    let of = |known: &Known, at, event: String, instance, text: &str| Happened {
        at,
        app: known.record.app.name.clone(),
        event,
        instance,
        text: text.lines().map(plain).collect::<Vec<_>>().join("; "),
    };
    let (known, told) = match news {
        News::Fault { known, fault } => {
            let text = format!("not followed: {fault}");
            return Some(of(&known, now_ms(), "fault".to_owned(), None, &text));
        }
        News::Told { known, told, .. } => (known, told),
    };
    let happened = match told {
        Told::Happened(happened) => happened,
        Told::Missed(count) => {
            let text =
                format!("{count} events are not shown: they came faster than they were read");
            return Some(of(&known, now_ms(), "missed".to_owned(), None, &text));
        }
    };
    let folder = known.folder.path().to_owned();
    let said = sentences.entry(folder);
    let said = said.or_insert_with(|| Sentences::new(&known.record.app, false));
    let text = said.in_words(&happened.event);
    let event = serde_json::to_value(&happened.event).unwrap_or_default();
    let name = event.get("event").and_then(|it| it.as_str());
    let name = shown::plain(name.unwrap_or_default());
    let instance = event.get("instance").and_then(serde_json::Value::as_u64);
    let instance = instance.and_then(|it| u32::try_from(it).ok());
    // A start says nothing to people, and is a mark on the time line.
    let text = match text {
        Some(text) => text,
        None if name == "started" => "started".to_owned(),
        None => return None,
    };
    Some(of(&known, happened.at, name, instance, &text))
}
