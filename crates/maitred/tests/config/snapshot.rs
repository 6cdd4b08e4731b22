//! Texts that are kept in files, so that a change of wording shows in review.

use std::fs;

use crate::place;

/// Compares a text with what the file of this name holds; with UPDATE_SNAPSHOTS the file holds it then.
/// `filter` runs the test that asks.
pub(crate) fn is_as_kept(name: &str, text: &str, filter: &str) {
    let file = format!("crates/maitred/tests/snapshots/{name}");
    let path = place::repository().join(&file);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = text
        .lines()
        .zip(kept.lines())
        .find(|(now, then)| now != then);
    assert!(
        text == kept,
        "{file} is out of date, first at {differs:?}: UPDATE_SNAPSHOTS=1 cargo test -p maitred --test \
         config {filter}"
    );
}
