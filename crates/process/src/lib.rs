//! What the kernel says of processes: their users, trees, control groups, memory and sockets; and the
//! channel that Node keeps to a parent.

#![forbid(unsafe_code)]

pub mod cgroup;
pub mod memory;
pub mod node_ipc;
pub mod sockets;
pub mod tree;
pub mod usage;
pub mod user;
