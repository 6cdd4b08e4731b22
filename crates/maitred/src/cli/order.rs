//! The order in which the apps of one command start and stop: what their `depends_on` says.

use anyhow::bail;

use super::{Manner, together};
use crate::apps::{Culprit, Known, Selected, Work, Worked, in_order};
use crate::dependencies::{Direction, Graph, Node, Schedule, Wrong};
use config::App;
use home::control::Fault;

/// The apps of a command, and managed ones that they need.
#[derive(Debug)]
pub(super) struct Order {
    graph: Graph,
    /// All names: of the command's apps, of those that cannot be run, and of the managed ones.
    names: Vec<String>,
    /// How many of them are the command's.
    own: usize,
    /// Those that cannot be run as they are described.
    broken: usize,
    /// Managed apps that are needed.
    others: Vec<Known>,
}

/// Name and namespace of an app.
pub(super) type Called = (String, String);

impl Order {
    /// The order of apps, which may need those of the same file that cannot be run, and managed ones.
    pub(super) fn of(apps: &[&App], broken: &[Called], known: &[Known]) -> (Self, Vec<Wrong>) {
        let is_own = |known: &&Known| {
            let app = &known.record.app;
            let same = |own: &&App| own.name == app.name && own.namespace == app.namespace;
            apps.iter().any(same)
        };
        let managed: Vec<_> = known.iter().filter(|known| !is_own(known)).collect();
        let mut nodes: Vec<Node<'_>> = apps.iter().map(|app| Node::from(*app)).collect();
        nodes.extend(broken.iter().map(|(name, namespace)| Node {
            name,
            written: None,
            namespace,
            needs: &[],
            can_complete: true,
            is_checked: true,
        }));
        let candidates: Vec<Node<'_>> = managed
            .iter()
            .map(|known| Node::from(&known.record.app))
            .collect();
        let (graph, wrongs) = Graph::of(&nodes, &candidates);
        let others = graph
            .others()
            .iter()
            .filter_map(|place| managed.get(*place));
        let others: Vec<Known> = others.map(|known| (*known).clone()).collect();
        let names = nodes.iter().map(|node| node.name.to_owned());
        let managed_names = others.iter().map(|known| known.record.app.name.clone());
        let order = Self {
            names: names.chain(managed_names).collect(),
            graph,
            own: apps.len(),
            broken: broken.len(),
            others,
        };
        (order, wrongs)
    }

    /// The same, as a config file has to be right.
    ///
    /// # Errors
    /// If a name leads nowhere, or apps wait for each other.
    pub(super) fn strict(
        apps: &[&App],
        broken: &[Called],
        known: &[Known],
    ) -> anyhow::Result<Self> {
        let (order, wrongs) = Self::of(apps, broken, known);
        if !wrongs.is_empty() {
            let wrongs: Vec<_> = wrongs.iter().map(ToString::to_string).collect();
            bail!("{}", wrongs.join("\n"));
        }
        Ok(order)
    }

    /// The same of apps that were managed already: what is not there any more is not waited for.
    pub(super) fn lenient(apps: &[&App], known: &[Known], manner: &Manner) -> Self {
        let (order, wrongs) = Self::of(apps, &[], known);
        for wrong in wrongs {
            together::say(manner, &format!("{wrong}; it is not waited for"));
        }
        order
    }

    /// The order among these alone.
    pub(super) fn among(apps: &[&App]) -> Self {
        Self::of(apps, &[], &[]).0
    }

    /// No order.
    pub(super) fn none(count: usize) -> Self {
        Self {
            graph: Graph::without_needs(count),
            names: Vec::new(),
            own: count,
            broken: 0,
            others: Vec::new(),
        }
    }

    /// Whether an app waits for others.
    pub(super) fn waits(&self, number: usize) -> bool {
        !self.graph.needs(number).is_empty()
    }

    /// Begins with each of the command's apps in its turn: what is needed comes first. `begin` tells
    /// also why others should not count on an app, if so.
    pub(super) fn forward<R: Send>(
        &self,
        known: &(dyn Fn(usize) -> Option<Known> + Sync),
        begin: &(dyn Fn(usize) -> (R, Option<String>) + Sync),
    ) -> Worked<R> {
        let begin = |number: usize| {
            if number < self.own {
                let (result, fault) = begin(number);
                return (Some(result), fault);
            }
            let there = match self.other(number) {
                Some(known) => known.wait_until_there(),
                None => Err("cannot be run".to_owned()),
            };
            (None, there.err())
        };
        let complete = |number: usize| {
            let own = (number < self.own).then(|| known(number)).flatten();
            match own.as_ref().or_else(|| self.other(number)) {
                Some(known) => known.wait_until_completed(),
                None => Ok(()),
            }
        };
        let work = Work {
            begin: &begin,
            complete: &complete,
        };
        let schedule = Schedule::new(&self.graph, Direction::Forward);
        let worked = in_order(schedule, self.graph.len(), &work);
        let results = worked.results.into_iter().take(self.own);
        Worked {
            results: results.map(Option::flatten).collect(),
            culprits: worked.culprits,
        }
    }

    /// Does something with each of the apps, with what others need last.
    pub(super) fn backward<R: Send>(&self, act: &(dyn Fn(usize) -> R + Sync)) -> Vec<Option<R>> {
        let work = Work {
            begin: &|number| (act(number), None),
            complete: &|_| Ok(()),
        };
        let schedule = Schedule::new(&self.graph, Direction::Backward);
        in_order(schedule, self.graph.len(), &work).results
    }

    /// Whose turn it is when.
    pub(super) fn schedule(&self) -> Schedule {
        Schedule::new(&self.graph, Direction::Forward)
    }

    /// Whose turn it is to end when.
    pub(super) fn backward_schedule(&self) -> Schedule {
        Schedule::new(&self.graph, Direction::Backward)
    }

    /// A managed app that is needed, by its number here.
    pub(super) fn other(&self, number: usize) -> Option<&Known> {
        self.others.get(number.checked_sub(self.own + self.broken)?)
    }

    /// Says who holds up whom; the exit code.
    pub(super) fn complain(&self, culprits: &[Culprit], done: &str) -> u8 {
        let name = |number: &usize| self.names.get(*number).cloned().unwrap_or_default();
        let mut code = 0;
        for culprit in culprits.iter().filter(|it| !it.held.is_empty()) {
            code = 1;
            let held: Vec<_> = culprit.held.iter().map(name).collect();
            let sentence = sentence(&name(&culprit.number), &culprit.reason, &held, done);
            together::complain(&sentence);
        }
        code
    }
}

/// Why nobody should count on an app of which a command came to this.
pub(super) fn reason(error: &anyhow::Error) -> String {
    let is_broken = match error.downcast_ref() {
        Some(Fault::Refused(refusal)) => refusal.all_broken,
        _ => false,
    };
    let reason = if is_broken { "has failed" } else { "is not up" };
    reason.to_owned()
}

/// Who holds up whom, and why.
pub(super) fn sentence(culprit: &str, reason: &str, held: &[String], done: &str) -> String {
    match held {
        [one] => format!("{culprit} {reason}: {one} is not {done}, as it depends on {culprit}"),
        [first @ .., last] => format!(
            "{culprit} {reason}: {} and {last} are not {done}, as they depend on {culprit}",
            first.join(", ")
        ),
        [] => format!("{culprit} {reason}"),
    }
}

/// The managed apps that these depend on, and that do not run. They are to be started too, which is
/// said.
pub(super) fn needed(known: &[Known], selected: &[Selected], manner: &Manner) -> Vec<Selected> {
    let needs = |one: &Selected| !one.known.record.app.depends_on.is_empty();
    if !selected.iter().any(needs) {
        return Vec::new();
    }
    let idle = known.iter().filter(|known| !known.snapshot().is_to_run());
    let idle: Vec<_> = idle.cloned().collect();
    let mut all: Vec<Known> = selected.iter().map(|one| one.known.clone()).collect();
    loop {
        let own: Vec<_> = all.iter().map(|known| &known.record.app).collect();
        let (order, _) = Order::of(&own, &[], &idle);
        if order.others.is_empty() {
            break;
        }
        all.extend(order.others);
    }
    let needed = all.into_iter().skip(selected.len()).map(|known| {
        let name = &known.record.app.name;
        together::say(manner, &format!("{name}: {STARTED_TOO}"));
        Selected { known, ids: None }
    });
    needed.collect()
}

/// What is said of an app that nobody has named.
pub(super) const STARTED_TOO: &str = "started too, as another app depends on it";
