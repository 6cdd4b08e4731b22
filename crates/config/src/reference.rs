//! The reference page of the fields, `docs/config.md`, made from the table of fields. The test
//! here keeps the page as it should be; with `UPDATE_DOCS=1` it writes it.

use std::fmt::Write;

use super::field::{Change, Field, Flag, Needs, Takes};
use super::fields::FIELDS;
use super::file::USUAL;
use super::names::IGNORED;

/// What comes before the fields.
const BEFORE: &str = include_str!("reference.md");

fn page() -> String {
    let mut page = BEFORE.replace("{usual}", &USUAL.map(|name| format!("`{name}`")).join(", "));
    let mut chapter = None;
    for field in FIELDS {
        if chapter.replace(field.category) != Some(field.category) {
            let _ = write!(page, "\n## {}\n", field.category.heading());
        }
        page += &entry(field);
    }
    page += "\n## Fields that do nothing here\n\n";
    page += "They are accepted, with a note.\n\n| field | why |\n|---|---|\n";
    for (name, reason) in IGNORED {
        let _ = writeln!(page, "| `{name}` | {reason} |");
    }
    page
}

/// What the page says about one field.
fn entry(field: &Field) -> String {
    let mut text = format!("\n### {}\n\n{}\n\n", field.name, marked(field.help.trim()));
    let [example, _] = field.examples;
    let _ = writeln!(text, "- Value: {}", field.expects);
    let _ = writeln!(text, "- Example: `{}: {example}`", field.name);
    let _ = writeln!(text, "- Default: {}", marked(field.default));
    let needs = match field.needs {
        Needs::Nothing => None,
        Needs::Cluster => Some("`exec_mode: cluster`"),
        Needs::Connections => Some("`exec_mode: cluster` and `per: connection`"),
        Needs::Requests => Some("`per: request`"),
        Needs::Job => Some("`cron_restart` and `autorestart: false`"),
    };
    let with = field.with.map(|with| format!("`{with}`"));
    let needs: Vec<_> = needs.map(str::to_owned).into_iter().chain(with).collect();
    if !needs.is_empty() {
        let _ = writeln!(text, "- Needs: {}", needs.join(" and "));
    }
    let _ = writeln!(text, "- A change takes effect: {}", change(field.change));
    if !field.flags.is_empty() {
        let flags: Vec<_> = field.flags.iter().map(flag).collect();
        let _ = writeln!(text, "- Flag: {}", flags.join(", "));
    }
    if !field.aliases.is_empty() {
        let aliases: Vec<_> = field.aliases.iter().map(|it| format!("`{it}`")).collect();
        let _ = writeln!(text, "- Other names: {}", aliases.join(", "));
    }
    text
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Never => "never; the app is known by it",
        Change::Command => "at once; it is no setting of the app",
        Change::Live => "at `scale`, `restart` and `reload`",
        Change::Restart => "at `restart` and `reload`",
        Change::Recreate => "at `restart`, which then replaces the supervisor; `reload` refuses it",
    }
}

/// The flag with its value, as one types it.
fn flag(flag: &Flag) -> String {
    let value = match flag.takes {
        Takes::Value(name) => format!(" {name}"),
        Takes::Optional(name) => format!(" [{name}]"),
        Takes::List(name) => format!(" {name},…"),
        Takes::Row(name) => format!(" {name} …"),
        Takes::Nothing(_) | Takes::Word(_) => String::new(),
    };
    let short = flag.short.map(|short| format!("-{short}, "));
    let aliases: String = flag.aliases.iter().map(|it| format!(", --{it}")).collect();
    format!(
        "`{}--{}{aliases}{value}`",
        short.unwrap_or_default(),
        flag.long
    )
}

/// What could be taken for markup is not.
fn marked(text: &str) -> String {
    text.replace('*', "\\*").replace('<', "\\<")
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == page,
        "docs/config.md is out of date: UPDATE_DOCS=1 cargo test -p config reference"
    );
}
