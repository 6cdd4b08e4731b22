//! The preload library: it makes a worker's listening socket a channel to the supervisor.
//!
//! It takes over a few libc symbols ([`hooks`]). `bind` and `listen` ask at the supervisor's door
//! ([`door`]); where that answers with a channel, the listener's descriptor is replaced by it
//! ([`listener`]). From then on `accept` reads connections from the channel ([`accept`]). What passes
//! over them is followed ([`traffic`]), so that those without a request in progress can be given back
//! when the worker is to end ([`give_back`]), or when the program closes them ([`park`]). All else passes straight to the kernel.
//!
//! It is a guest in a foreign process. It allocates nothing, takes no lock, never panics, keeps
//! errno, and passes a call through whenever it is in doubt. It needs no library, libc included:
//! only the system calls, and, where the program has them, `environ`, `__errno_location` and the
//! functions for which it stands in most often.

#![cfg_attr(not(test), no_std)]
// A loop must not become a call to the strlen or memcpy of somebody else.
#![no_builtins]

mod accept;
mod arch;
mod datagrams;
mod door;
mod epoll;
mod give_back;
mod heir;
mod hooks;
mod host;
mod io;
mod kernel;
mod listener;
mod memory;
mod options;
mod park;
mod removal;
mod stream;
mod table;
mod traffic;

pub use arch::syscall;
pub use hooks::*;
pub use io::hooks::*;

#[cfg(feature = "library")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here panics; the linker drops this. Were it ever reached, ending the process is
    // the only thing left.
    kernel::exit_group(127)
}

#[cfg(feature = "library")]
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = host::at_load;
