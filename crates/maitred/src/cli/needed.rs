//! Apps of a config file that were not chosen, and on which the chosen ones depend.

use super::order::Called;
use crate::dependencies::{Graph, Node};
use config::{self, App, Entry, Resolved, Surroundings};

/// What the chosen apps need of the others of their file.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub(super) apps: Vec<Resolved>,
    /// Those that cannot be run, and why.
    pub(super) broken: Vec<(Called, anyhow::Error)>,
}

/// Resolves those of the other entries that the chosen apps depend on, and those that these depend
/// on.
pub(super) fn of(chosen: &[Resolved], others: Vec<Entry>, context: &Surroundings) -> Needed {
    let mut needed = Needed::default();
    if !chosen.iter().any(|it| !it.app.depends_on.is_empty()) {
        return needed;
    }
    let mut rest = Vec::new();
    for entry in others {
        let called = config::called(&entry);
        match (config::resolve(entry, context), called) {
            (Ok(resolved), _) => rest.push(resolved),
            (Err(error), Some(called)) => needed.broken.push((called, error)),
            // Nothing can depend on what has no name.
            (Err(_), None) => {}
        }
    }
    loop {
        let all = chosen.iter().chain(&needed.apps);
        let next = next(all.map(|it| &it.app), &rest);
        if next.is_empty() {
            break;
        }
        let (more, left): (Vec<_>, Vec<_>) =
            (0..).zip(rest).partition(|(place, _)| next.contains(place));
        needed.apps.extend(more.into_iter().map(|(_, it)| it));
        rest = left.into_iter().map(|(_, it)| it).collect();
    }
    let all = chosen.iter().chain(&needed.apps);
    let names: Vec<_> = all.flat_map(|it| &it.app.depends_on).collect();
    let is_named = |name: &str| names.iter().any(|it| it.app == name);
    needed.broken.retain(|((name, _), _)| is_named(name));
    needed
}

/// The places of those that are needed directly.
fn next<'a>(apps: impl Iterator<Item = &'a App>, rest: &[Resolved]) -> Vec<usize> {
    let nodes: Vec<_> = apps.map(Node::from).collect();
    let others: Vec<_> = rest.iter().map(|it| Node::from(&it.app)).collect();
    let (graph, _) = Graph::of(&nodes, &others);
    graph.others().to_vec()
}
