//! From the names in `depends_on` to a graph without cycles.

use std::collections::BTreeSet;

use config::{App, Dependency, Until};

use super::Wrong;

/// One app, as far as the graph knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) name: &'a str,
    /// Its name in the config, if that is another one.
    pub(crate) written: Option<&'a str>,
    pub(crate) namespace: &'a str,
    pub(crate) needs: &'a [Dependency],
    /// Whether a run with exit code 0 is its last one.
    pub(crate) can_complete: bool,
    /// Whether its health is checked.
    pub(crate) is_checked: bool,
}

impl<'a> From<&'a App> for Node<'a> {
    fn from(app: &'a App) -> Self {
        Self {
            name: &app.name,
            written: app.written_name(),
            namespace: &app.namespace,
            needs: &app.depends_on,
            can_complete: app.can_complete(),
            is_checked: app.health.is_some(),
        }
    }
}

impl Node<'_> {
    fn is_called(&self, name: &str) -> bool {
        self.name == name || self.written == Some(name)
    }
}

/// Who waits for whom, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Graph {
    /// What each node needs: the numbers of other nodes.
    needs: Vec<Vec<(usize, Until)>>,
    /// The nodes behind those that are to be started: others that they need, by their places in the
    /// list of others.
    others: Vec<usize>,
}

impl Graph {
    /// The graph of the nodes that are to be started. What they need may also be one of the others.
    pub(crate) fn of(nodes: &[Node<'_>], others: &[Node<'_>]) -> (Self, Vec<Wrong>) {
        let mut graph = Self {
            needs: vec![Vec::new(); nodes.len()],
            others: Vec::new(),
        };
        let mut wrongs = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            for dependency in node.needs {
                match graph.add(number, dependency, nodes, others) {
                    Ok(()) => {}
                    Err(wrong) => wrongs.push(wrong),
                }
            }
        }
        while let Some(cycle) = graph.cut_cycle() {
            let first = cycle.first().copied();
            let names = cycle.iter().copied().chain(first);
            let names = names.filter_map(|number| nodes.get(number));
            wrongs.push(Wrong::Cycle(names.map(|it| it.name.to_owned()).collect()));
        }
        (graph, wrongs)
    }

    /// So many nodes, none of which needs another one.
    pub(crate) fn without_needs(count: usize) -> Self {
        Self {
            needs: vec![Vec::new(); count],
            others: Vec::new(),
        }
    }

    /// How many nodes there are, with the others that are needed.
    pub(crate) fn len(&self) -> usize {
        self.needs.len()
    }

    /// The others that are needed, by their places in the list of others. Their nodes come last.
    pub(crate) fn others(&self) -> &[usize] {
        &self.others
    }

    /// What a node needs.
    pub(crate) fn needs(&self, number: usize) -> &[(usize, Until)] {
        self.needs.get(number).map_or(&[], Vec::as_slice)
    }

    fn add(
        &mut self,
        number: usize,
        dependency: &Dependency,
        nodes: &[Node<'_>],
        others: &[Node<'_>],
    ) -> Result<(), Wrong> {
        let node = nodes.get(number);
        let app = || node.map_or(String::new(), |node| node.name.to_owned());
        let namespace = node.map_or("", |node| node.namespace);
        let wrong = |make: fn(String, String) -> Wrong| make(app(), dependency.app.clone());
        let (found, needed) = match place(nodes, &dependency.app, namespace) {
            Place::At(place) => (place, nodes.get(place)),
            Place::Several => {
                return Err(wrong(|app, dependency| Wrong::Ambiguous {
                    app,
                    dependency,
                }));
            }
            Place::Nowhere => match place(others, &dependency.app, namespace) {
                Place::At(place) => (nodes.len() + self.other(place), others.get(place)),
                Place::Several => {
                    return Err(wrong(|app, dependency| Wrong::Ambiguous {
                        app,
                        dependency,
                    }));
                }
                Place::Nowhere => {
                    return Err(wrong(|app, dependency| Wrong::Unknown { app, dependency }));
                }
            },
        };
        if dependency.until == Until::Completed && needed.is_some_and(|it| !it.can_complete) {
            return Err(wrong(|app, dependency| Wrong::NeverCompletes {
                app,
                dependency,
            }));
        }
        if dependency.until == Until::Healthy && needed.is_some_and(|it| !it.is_checked) {
            return Err(wrong(|app, dependency| Wrong::NeverHealthy {
                app,
                dependency,
            }));
        }
        let edge = (found, dependency.until);
        if let Some(needs) = self.needs.get_mut(number)
            && !needs.contains(&edge)
        {
            needs.push(edge);
        }
        Ok(())
    }

    /// The place of one of the others among those that are needed.
    fn other(&mut self, place: usize) -> usize {
        let known = self.others.iter().position(|other| *other == place);
        known.unwrap_or_else(|| {
            self.others.push(place);
            self.needs.push(Vec::new());
            self.others.len() - 1
        })
    }

    /// Takes the edge away with which a cycle closes; the nodes of the cycle, each of which needs the
    /// next one. The one that stands first in the file comes first.
    fn cut_cycle(&mut self) -> Option<Vec<usize>> {
        // Who needs nothing that is left is in no cycle.
        let mut left: BTreeSet<usize> = (0..self.len()).collect();
        loop {
            let free = |number: &usize| !self.needs(*number).iter().any(|it| left.contains(&it.0));
            let free: Vec<_> = left.iter().copied().filter(free).collect();
            if free.is_empty() {
                break;
            }
            left.retain(|number| !free.contains(number));
        }
        // Who is left needs another one that is left.
        let mut path = vec![*left.first()?];
        loop {
            let next = self.needs(*path.last()?).iter().map(|it| it.0);
            let next = next.into_iter().find(|next| left.contains(next))?;
            let Some(start) = path.iter().position(|number| *number == next) else {
                path.push(next);
                continue;
            };
            let mut cycle = path.split_off(start);
            let first = (0..cycle.len()).min_by_key(|place| cycle.get(*place))?;
            cycle.rotate_left(first);
            let (from, to) = (*cycle.last()?, *cycle.first()?);
            self.needs.get_mut(from)?.retain(|(need, _)| *need != to);
            return Some(cycle);
        }
    }
}

/// Where a name leads.
enum Place {
    At(usize),
    Several,
    Nowhere,
}

/// The one of this name: in the namespace, or else in any.
fn place(nodes: &[Node<'_>], name: &str, namespace: &str) -> Place {
    let called = || (0..).zip(nodes).filter(|(_, node)| node.is_called(name));
    if let Some((place, _)) = called().find(|(_, node)| node.namespace == namespace) {
        return Place::At(place);
    }
    let mut all = called().map(|(place, _)| place);
    match (all.next(), all.next()) {
        (None, _) => Place::Nowhere,
        (Some(place), None) => Place::At(place),
        (Some(_), Some(_)) => Place::Several,
    }
}

/// A graph in which each app needs those of these numbers; a negative one until it has completed
/// (-1 stands for 0).
#[cfg(test)]
pub(crate) fn numbered(needs: &[&[isize]]) -> Graph {
    use config::{Dependency, Until};

    let names: Vec<_> = (0..needs.len()).map(|it| it.to_string()).collect();
    let dependency = |need: &isize| Dependency {
        app: if *need < 0 { -need - 1 } else { *need }.to_string(),
        until: match *need < 0 {
            true => Until::Completed,
            false => Until::Started,
        },
    };
    let needs: Vec<Vec<_>> = needs
        .iter()
        .map(|needs| needs.iter().map(dependency).collect())
        .collect();
    let nodes = names.iter().zip(&needs).map(|(name, needs)| Node {
        name,
        written: None,
        namespace: "default",
        needs,
        can_complete: true,
        is_checked: false,
    });
    let (graph, wrongs) = Graph::of(&nodes.collect::<Vec<_>>(), &[]);
    assert!(wrongs.is_empty());
    graph
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An app of a test, which owns its words.
    struct Words {
        name: String,
        namespace: String,
        needs: Vec<Dependency>,
        can_complete: bool,
    }

    impl Words {
        /// Reads "n/web*: api, migrate!".
        fn of(text: &str) -> Self {
            let (name, needs) = text.split_once(':').unwrap_or((text, ""));
            let can_complete = !name.ends_with('*');
            let name = name.trim_end_matches('*');
            let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
            let needs = needs.split(',').map(str::trim).filter(|it| !it.is_empty());
            let needs = needs.map(|need| Dependency {
                app: need.trim_end_matches(['!', '+']).to_owned(),
                until: match need.chars().last() {
                    Some('!') => Until::Completed,
                    Some('+') => Until::Healthy,
                    _ => Until::Started,
                },
            });
            Self {
                name: name.to_owned(),
                namespace: namespace.to_owned(),
                needs: needs.collect(),
                can_complete,
            }
        }

        fn all_of(text: &str) -> Vec<Self> {
            let apps = text.split(';').map(str::trim).filter(|it| !it.is_empty());
            apps.map(Self::of).collect()
        }

        fn node(&self) -> Node<'_> {
            Node {
                name: &self.name,
                written: None,
                namespace: &self.namespace,
                needs: &self.needs,
                can_complete: self.can_complete,
                is_checked: self.name.ends_with("db"),
            }
        }
    }

    /// Apps with what each needs: "web: api, migrate!" where `!` stands for `completed`. A name with a
    /// slash begins with its namespace; one with `*` is restarted whenever it ends.
    fn graph(apps: &str, others: &str) -> (Graph, Vec<String>) {
        let (apps, others) = (Words::all_of(apps), Words::all_of(others));
        let nodes: Vec<_> = apps.iter().map(Words::node).collect();
        let others: Vec<_> = others.iter().map(Words::node).collect();
        let (graph, wrongs) = Graph::of(&nodes, &others);
        (graph, wrongs.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_become_edges() {
        use Until::{Completed, Started};
        for (apps, others, needs) in [
            ("", "", vec![]),
            ("a", "", vec![vec![]]),
            (
                "a: b; b: c; c",
                "",
                vec![vec![(1, Started)], vec![(2, Started)], vec![]],
            ),
            (
                "top: left, right; left: base; right: base!; base",
                "",
                vec![
                    vec![(1, Started), (2, Started)],
                    vec![(3, Started)],
                    vec![(3, Completed)],
                    vec![],
                ],
            ),
            // Twice the same is once; both ends of it are two.
            (
                "a: b, b, b!; b",
                "",
                vec![vec![(1, Started), (1, Completed)], vec![]],
            ),
            // One that is managed already, needed by two.
            (
                "a: db; b: db",
                "x; db",
                vec![vec![(2, Started)], vec![(2, Started)], vec![]],
            ),
            // The file's own comes first, and the one of the same namespace.
            ("a: b; b", "b", vec![vec![(1, Started)], vec![]]),
            (
                "n/a: b; m/b; n/b",
                "",
                vec![vec![(2, Started)], vec![], vec![]],
            ),
            ("n/a: b; m/b", "n/b", vec![vec![(1, Started)], vec![]]),
        ] {
            let (graph, wrongs) = graph(apps, others);
            assert_eq!(graph.needs, needs, "{apps}");
            assert!(wrongs.is_empty(), "{apps}: {wrongs:?}");
        }
        assert_eq!(graph("a: db; b: db", "x; db").0.others(), [1]);
    }

    #[test]
    fn what_is_wrong_is_named_and_left_out() {
        for (apps, others, expected) in [
            (
                "a: a",
                "",
                &["depends_on goes round in a circle: a → a"][..],
            ),
            (
                "a: b; b: a",
                "",
                &["depends_on goes round in a circle: a → b → a"],
            ),
            // The way into the circle is no part of it.
            (
                "x: c; a: b; b: c; c: a; y: x",
                "",
                &["depends_on goes round in a circle: a → b → c → a"],
            ),
            (
                "a: b; b: a; c: d; d: c!",
                "",
                &[
                    "depends_on goes round in a circle: a → b → a",
                    "depends_on goes round in a circle: c → d → c",
                ],
            ),
            (
                "a: gone; b",
                "c",
                &["a: depends_on names gone, and there is no app of this name"],
            ),
            (
                "a: b; m/b; n/b",
                "",
                &["a: depends_on names b, and apps of several namespaces are called so"],
            ),
            (
                "a: b!; b*",
                "",
                &[
                    "a: depends_on waits until b has completed, and b is restarted whenever it ends: \
                   write autorestart: false there",
                ],
            ),
            (
                "a: b+, db+; b; db",
                "",
                &[
                    "a: depends_on waits until b is healthy, which is not checked: write health there, \
                     or until: \"started\" here",
                ],
            ),
        ] {
            let (left, wrongs) = graph(apps, others);
            assert_eq!(wrongs, expected, "{apps}");
            // What is left can be walked.
            assert_eq!(left.clone().cut_cycle(), None, "{apps}");
        }
    }

    /// A managed app that needs one of those that start is no cycle: it runs already.
    #[test]
    fn what_others_need_does_not_count() {
        let (graph, wrongs) = graph("a: b", "b: a");
        assert_eq!(graph.needs(0), [(1, Until::Started)]);
        assert_eq!((graph.needs(1), wrongs.len()), (&[][..], 0));
    }
}
