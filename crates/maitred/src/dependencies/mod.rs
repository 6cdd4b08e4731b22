//! Which app waits for which, without I/O: `depends_on` as a graph, and whose turn it is.

mod graph;
mod schedule;
mod wrong;

#[cfg(test)]
pub(crate) use graph::numbered;
pub(crate) use graph::{Graph, Node};
pub(crate) use schedule::{Direction, Schedule};
pub(crate) use wrong::Wrong;
