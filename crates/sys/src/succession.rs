//! A process that becomes another program, with its descriptors.

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::shared_fork::open_descriptors;

/// The first one beside those for input, output and errors.
const FIRST: i32 = 3;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Becomes another program, to which all descriptors stay open, with this environment. Signals that are
/// blocked stay so, and those that wait arrive there. Returns only if that fails: then nothing has changed.
///
/// A process that shares its table of descriptors has one of its own when this one has become the other
/// program; until then what is changed here is changed there. Neither may start a program meanwhile.
pub fn become_program(program: &Path, words: &[String]) -> io::Error {
    let text = |bytes: &[u8]| CString::new(bytes);
    let path = text(program.as_os_str().as_bytes());
    let words: Result<Vec<_>, _> = words.iter().map(|word| text(word.as_bytes())).collect();
    let (Ok(path), Ok(words)) = (path, words) else {
        return io::ErrorKind::InvalidInput.into();
    };
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let set = |flag| {
        for fd in open_descriptors()?.into_iter().filter(|fd| *fd >= FIRST) {
            set_flag(fd, flag)?;
        }
        Ok(())
    };
    let error = match set(0) {
        Ok(()) => {
            // SAFETY: the path and each word end with a zero byte and live on, as does the list of
            // pointers to them, which ends with a null pointer.
            unsafe { libc::execv(path.as_ptr(), pointers.as_ptr()) };
            io::Error::last_os_error()
        }
        Err(error) => error,
    };
    // What was open before is still to be closed when a program is started.
    let _: io::Result<()> = set(libc::FD_CLOEXEC);
    error
}

/// Takes over all descriptors that are open beside those for input, output and errors. For a program that
/// has begun by [`become_program`], before it opens anything. Programs that it starts do not get them.
///
/// # Errors
/// If `/proc` cannot be read, or they were taken before.
pub fn take_all() -> io::Result<Vec<OwnedFd>> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let open = open_descriptors()?.into_iter().filter(|fd| *fd >= FIRST);
    let take = |fd| {
        set_flag(fd, libc::FD_CLOEXEC)?;
        // SAFETY: it was open when this program began, which has opened nothing since, and was taken over by
        // nobody before.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    open.map(take).collect()
}

fn set_flag(fd: i32, flag: i32) -> io::Result<()> {
    // SAFETY: the call changes a flag of the descriptor, if there is one.
    match unsafe { libc::fcntl(fd, libc::F_SETFD, flag) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
