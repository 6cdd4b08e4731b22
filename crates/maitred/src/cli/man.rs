//! `maitred man`: the man pages, for packages. One for each command, from what clap knows, and
//! maitred-config(5), from the table of fields.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use config::{Category, FIELDS, Field};

/// Write the man pages into a folder.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder, which is there.
    folder: PathBuf,
}

impl Man {
    pub(super) fn execute(&self) -> anyhow::Result<u8> {
        let mut program = super::Arguments::command().disable_help_subcommand(true);
        program.build();
        let pages = program.get_subcommands().filter(|it| !it.is_hide_set());
        for command in pages.chain([&program]).cloned() {
            let page = Page::new(command).source(source()).manual("maitred manual");
            page.generate_to(&self.folder)
                .with_context(|| format!("writing a man page into {}", self.folder.display()))?;
        }
        let file = self.folder.join("maitred-config.5");
        fs::write(&file, config()).with_context(|| format!("writing {}", file.display()))?;
        Ok(0)
    }
}

fn source() -> String {
    format!("maitred {}", env!("CARGO_PKG_VERSION"))
}

/// The page of config files.
fn config() -> String {
    let mut page = Roff::new();
    page.control(
        "TH",
        ["maitred-config", "5", "", &source(), "maitred manual"],
    );
    page.control("SH", ["NAME"]);
    page.text([roman("maitred-config - fields of an app in a config file")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold("maitred start ecosystem.config.js")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("A config file in JavaScript, TypeScript, JSON, YAML or TOML holds an object with "),
        bold("apps"),
        roman(
            ", a list of apps. Each app has the fields of this page, written as max_memory_restart, \
             maxMemoryRestart or max-memory-restart. ",
        ),
        bold("maitred check"),
        roman(" shows what a file means; "),
        bold("maitred init"),
        roman(" writes one to begin with."),
    ]);
    let mut chapter: Option<Category> = None;
    for field in FIELDS {
        if chapter.replace(field.category) != Some(field.category) {
            page.control("SH", [field.category.heading().to_uppercase().as_str()]);
        }
        entry(&mut page, field);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("maitred"),
        roman("(1), "),
        bold("maitred-start"),
        roman("(1)"),
    ]);
    page.render()
}

/// What the page says of one field.
fn entry(page: &mut Roff, field: &Field) {
    let [example, _] = field.examples;
    page.control("TP", []);
    page.text([bold(field.name)]);
    page.text([roman(field.help.trim().replace('\n', " "))]);
    let mut row = |name: &str, value: Inline| {
        page.control("br", []);
        page.text([italic(name), roman(": "), value]);
    };
    row("Value", roman(field.expects));
    row("Example", bold(format!("{}: {example}", field.name)));
    row("Default", roman(field.default));
    if !field.aliases.is_empty() {
        row("Other names", roman(field.aliases.join(", ")));
    }
}
