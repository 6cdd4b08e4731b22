//! `maitred scale`: more or fewer instances of an app.

use anyhow::bail;
use clap::Args;

use super::{Manner, together};
use crate::apps::{Action, Change, Known};
use home::Home;

/// Run more or fewer instances of an app.
#[derive(Debug, Args)]
pub(super) struct Scale {
    /// The app's name.
    name: String,

    /// Number of instances, or how many more (+N) or fewer (-N).
    #[arg(value_name = "N|+N|-N", allow_hyphen_values = true)]
    change: String,
}

/// More is surely a slip of the finger.
const MOST: u32 = 1024;

impl Scale {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let change = parse(&self.change)?;
        let home = Home::find()?;
        let targets = [self.name];
        let mut code = 0;
        for mut one in together::selected(&home, &targets)? {
            let (now, count) = scaled(&one.known, change)?;
            // An app is scaled as a whole, whichever of its instances is named.
            one.ids = None;
            // What is told on the way is told of so many.
            one.known.record.app.instances = count;
            let done = format!("scaled from {now} to {count}");
            let one = std::slice::from_ref(&one);
            let action = Action::Scale(count);
            code = code.max(together::act(&home, one, &action, &done, manner)?);
        }
        Ok(code)
    }
}

/// How many instances an app has, and how many it would have.
///
/// # Errors
/// If it cannot have so many; says why.
pub(super) fn scaled(known: &Known, change: Change) -> anyhow::Result<(u32, u32)> {
    let now = u32::try_from(known.record.instances.len()).unwrap_or(u32::MAX);
    let count = change.of(now);
    let name = &known.record.app.name;
    if count == 0 {
        bail!(
            "{name} would have no instances left; `maitred stop` stops it, `maitred delete` removes it"
        );
    }
    if count > MOST {
        bail!("at most {MOST} instances can be run");
    }
    if count == now {
        let instances = if now == 1 { "instance" } else { "instances" };
        bail!("{name} has {now} {instances} already: nothing to do");
    }
    Ok((now, count))
}

fn parse(text: &str) -> anyhow::Result<Change> {
    let digits = text.trim_start_matches(['+', '-']);
    let number = digits.parse::<u32>();
    let (Ok(number), true) = (number, text.len() - digits.len() <= 1) else {
        bail!(
            "expected a number, +N or -N, not \"{}\"",
            text.escape_debug()
        );
    };
    Ok(match text.as_bytes().first() {
        Some(b'+') => Change::By(i64::from(number)),
        Some(b'-') => Change::By(-i64::from(number)),
        _ => Change::To(number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_changes() {
        for (text, now, count) in [("3", 1, 3), ("+2", 1, 3), ("-1", 3, 2), ("-9", 3, 0)] {
            assert_eq!(parse(text).unwrap().of(now), count, "{text}");
        }
        for bad in ["", "+", "--1", "+-1", "x", "1.5", "-"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
