//! Safe wrappers over system calls that rustix does not offer: socket addresses as plain bytes,
//! socket options by number, fork, what a child does before it becomes another program, and
//! process groups that end with us, and an end for calls that others can make wait.
//!
//! Next to the preload library this is the only place with `unsafe` code.

mod alarm;
mod batch;
mod channel;
mod left;
mod memo;
mod passed;
mod peer;
mod process;
mod readable;
mod rights;
mod shared_fork;
mod signals;
mod socket;
mod succession;
mod tied;

pub use alarm::Alarm;
pub use batch::Batch;
pub use channel::{CHANNEL, ChannelPlace};
pub use left::LeftOpen;
pub use memo::Memo;
pub use passed::take_passed;
pub use peer::{peer_pidfd, receive_all};
pub use process::{
    ChildSetup, Forked, Identity, cpu_time, ended_child, exit_now, fork, is_same_file,
    set_up_child, set_up_daemon,
};
pub use readable::Readable;
pub use rights::Rights;
pub use rustix::thread::CapabilitySet;
pub use shared_fork::{ForkedSharing, SharingChild, fork_sharing_descriptors};
pub use signals::{Signalled, block_signals, next_signal, next_signal_within};
pub use socket::{
    RawAddress, accept, accept_ports_at, bind, bind_random, connect_unix, local_address,
    peer_address, read_option, receive, refuse_descriptors, send, unread, write_option,
};
pub use succession::{become_program, take_all};
pub use tied::{Tie, tie_group};
