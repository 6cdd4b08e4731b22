//! Config files in their formats: JavaScript, TypeScript, JSON, YAML and TOML.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use super::duplicates;
use super::entry::{self, Entries};
use super::evaluate;
use super::fields::Entry;
use super::here::here;
use super::words::told;

/// A config file is not larger than this.
const MOST: u64 = 4 << 20;

/// The names that are looked for where no file is named, the first that exists.
pub(crate) const USUAL: [&str; 9] = [
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.ts",
    "ecosystem.json",
    "ecosystem.config.json",
    "ecosystem.yaml",
    "ecosystem.yml",
    "ecosystem.toml",
];

/// The language of a config file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Script,
    Json,
    Yaml,
    Toml,
}

/// A config file, read.
#[derive(Debug)]
pub struct ConfigFile {
    /// The folder that its relative paths start from.
    pub folder: PathBuf,
    pub apps: Vec<Entry>,
    pub warnings: Vec<String>,
    /// What it printed when it was evaluated.
    pub printed: String,
}

/// Whether a name is that of a config file, and not of a script: `*.config.js` and the like, or
/// any `.json`, `.yaml`, `.yml` or `.toml`.
pub fn is_config(name: &Path) -> bool {
    format(name).is_some()
}

/// The config file of this folder, where none was named.
pub fn usual(folder: &Path) -> Option<PathBuf> {
    let mut paths = USUAL.iter().map(|name| folder.join(name));
    paths.find(|path| path.is_file())
}

/// Reads a config file. `env_name` is the chosen set of variables, for files that are functions.
///
/// # Errors
/// Says which file, app and field is wrong, and how.
pub fn load(path: &Path, env_name: Option<&str>) -> anyhow::Result<ConfigFile> {
    let shown = told(path);
    let Some(format) = format(path) else {
        bail!(
            "{shown} is no config file: those are called *.config.js, .cjs, .mjs or .ts, or end in \
             .json, .yaml, .yml or .toml"
        );
    };
    if let Err(error) = std::fs::metadata(path) {
        if error.kind() == std::io::ErrorKind::NotFound {
            bail!(
                "there is no file {shown} (looked for in {})",
                told(&here()?)
            );
        }
        return Err(error).context(format!("opening {shown}"));
    }
    // Through links as the user wrote them: a deploy lets `current` lead elsewhere.
    let path =
        std::path::absolute(here()?.join(path)).with_context(|| format!("opening {shown}"))?;
    let mut printed = String::new();
    let value = if format == Format::Script {
        let evaluated = evaluate::evaluate(&path, env_name, evaluate::PATIENCE)?;
        printed = evaluated.printed;
        evaluated.value
    } else {
        let text = text_of(&path).with_context(|| format!("reading {shown}"))?;
        parse(&text, format).with_context(|| format!("reading {shown}"))?
    };
    let entries = entry::read(&value).map_err(|errors| wrong(&shown, &errors))?;
    let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(ConfigFile::new(&shown, folder, entries, printed))
}

/// Reads a config that is not in a file: JSON text, whose relative paths start at `folder`.
///
/// # Errors
/// As [`load`].
pub fn load_json(shown: &str, text: &str, folder: &Path) -> anyhow::Result<ConfigFile> {
    let value = parse(text, Format::Json).with_context(|| format!("reading {shown}"))?;
    let entries = entry::read(&value).map_err(|errors| wrong(shown, &errors))?;
    Ok(ConfigFile::new(
        shown,
        folder.to_owned(),
        entries,
        String::new(),
    ))
}

impl ConfigFile {
    fn new(shown: &str, folder: PathBuf, entries: Entries, printed: String) -> Self {
        let warnings = entries.warnings.iter();
        Self {
            folder,
            apps: entries.apps,
            warnings: warnings.map(|it| format!("{shown}: {it}")).collect(),
            printed,
        }
    }
}

fn wrong(shown: &str, errors: &[String]) -> anyhow::Error {
    match errors {
        [one] => anyhow!("{shown}: {one}"),
        many => anyhow!(
            "{shown} has {} errors:\n  {}",
            many.len(),
            many.join("\n  ")
        ),
    }
}

fn format(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_str()?;
    let (stem, extension) = name.rsplit_once('.')?;
    match extension {
        "js" | "cjs" | "mjs" | "ts" | "cts" | "mts" => {
            (stem.ends_with(".config")).then_some(Format::Script)
        }
        "json" | "json5" | "jsonc" => Some(Format::Json),
        "yaml" | "yml" => Some(Format::Yaml),
        "toml" => Some(Format::Toml),
        _ => None,
    }
}

/// The text of a file, if it is no larger than a config may be.
fn text_of(path: &Path) -> anyhow::Result<String> {
    // To open a pipe could take forever.
    match path.metadata()?.file_type() {
        it if it.is_dir() => bail!("it is a folder"),
        it if !it.is_file() => bail!("it is no file"),
        _ => {}
    }
    let file = File::open(path)?;
    let mut text = String::new();
    file.take(MOST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST {
        bail!("it is larger than {} MB", MOST >> 20);
    }
    Ok(text)
}

fn parse(text: &str, format: Format) -> anyhow::Result<Value> {
    // Some editors begin a file with it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok(match format {
        Format::Json => {
            let value = jsonc_parser::parse_to_serde_value(text, &json_options())?;
            duplicates::refuse(text, &json_options())?;
            value
        }
        // Their errors would show the lines in question, in which there may be secrets.
        Format::Yaml => serde_saphyr::from_str_with_options(text, yaml_options()).map_err(
            |error: serde_saphyr::Error| {
                // The rest speaks to programmers.
                let text = error.without_snippet().to_string();
                anyhow!(text.replace(", set DuplicateKeyPolicy in Options if acceptable", ""))
            },
        )?,
        Format::Toml => {
            let table = toml::from_str(text).map_err(|error: toml::de::Error| {
                let start = error.span().map_or(0, |span| span.start);
                let before = text.get(..start).unwrap_or(text);
                let line = before.matches('\n').count() + 1;
                anyhow!("{} on line {line}", error.message())
            })?;
            from_toml(toml::Value::Table(table))
        }
        Format::Script => bail!("a program cannot be read as data"),
    })
}

/// What JavaScript would take as an object too, since pm2 reads JSON files so; but no commas that
/// are not there.
fn json_options() -> jsonc_parser::ParseOptions {
    jsonc_parser::ParseOptions {
        allow_missing_commas: false,
        allow_non_finite_numbers: false,
        ..Default::default()
    }
}

/// The core schema of YAML 1.2, as js-yaml 4 has it: `yes` and `1_000` are text.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        underscored_numbers_as_strings: true,
    }
}

/// Dates and times become text: JSON has none.
fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) if number.is_finite() => number.into(),
        toml::Value::Float(number) => json!({ evaluate::ODD: number.to_string() }),
        toml::Value::Boolean(on) => on.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(from_toml).collect(),
        toml::Value::Table(table) => {
            let pairs = table.into_iter();
            pairs.map(|(name, it)| (name, from_toml(it))).collect()
        }
    }
}

/// What must hold of the text of any config file (see `untrusted`).
#[cfg(feature = "fuzzing")]
pub fn read_any_text(bytes: &[u8]) {
    let Some((first, text)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let format = match first % 3 {
        0 => Format::Json,
        1 => Format::Yaml,
        _ => Format::Toml,
    };
    if let Ok(value) = parse(text, format)
        && let Err(errors) = entry::read(&value)
    {
        assert!(errors.iter().all(|error| !error.is_empty()));
    }
}
